"""Every hook is documented with its exact signature, and does what the page says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llmops_core import events, hookspecs
from llmops_core.errors import Problem
from llmops_core.hookspecs import hookimpl
from tests.conftest import Project

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"


def test_every_hook_stands_on_the_page_with_its_exact_signature() -> None:
    written = re.findall(r"^(llmops_\w+\(.*\) -> .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    hooks = {name: value for name, value in vars(hookspecs).items() if name.startswith("llmops_")}
    signatures = [f"{name}{inspect.signature(value)}".replace("'", "") for name, value in hooks.items()]
    assert written == signatures


def test_a_plugin_wraps_every_step_and_hears_every_event(project: Project) -> None:
    seen: list[str] = []

    class Tracer:
        @hookimpl(wrapper=True)
        def llmops_run_step(self, step: Any, run: Any) -> Any:
            seen.append(f"before {step.name}")
            made = yield
            seen.append(f"after {step.name}")
            return made

        @hookimpl
        def llmops_event(self, run: Any, event: events.Event) -> None:
            if isinstance(event, events.StepEnded):
                seen.append(f"ended {event.step}")

    project.extra = [("tracer", Tracer())]
    project.run()
    assert seen[:6] == [
        f"{word} {step}" for step in ("data", "model") for word in ("before", "after", "ended")
    ]


def test_a_plugin_finds_problems_that_span_stages(project: Project) -> None:
    def llmops_check(recipe: Any) -> list[Problem]:
        lr = recipe.step("train").config.lr
        return [Problem("train.lr", f"{lr} is too brave", "Take less.", recipe.origin("train.lr"))]

    project.extra = [("careful", SimpleNamespace(llmops_check=hookimpl(llmops_check)))]
    (problem,) = project.problems("train.lr=3")
    assert (problem.where, problem.what, problem.origin) == ("train.lr", "3.0 is too brave", "command line")


def test_a_plugin_brings_presets_and_recipes(project: Project, monkeypatch: Any) -> None:
    package = project.folder / "site" / "acme_conf"
    (package / "recipes").mkdir(parents=True)
    (package / "train").mkdir()
    (package / "__init__.py").write_text("")
    (package / "train" / "gentle.yaml").write_text("use: fake\nlr: 0.01\n")
    recipe = (project.folder / "recipe.yaml").read_text().replace("train: fake", "train: gentle")
    (package / "recipes" / "acme.yaml").write_text(recipe)
    monkeypatch.syspath_prepend(str(project.folder / "site"))
    plugin = SimpleNamespace(llmops_config_packages=hookimpl(lambda: ["acme_conf"]))
    project.extra = [("acme", plugin)]
    assert project.check(recipe="acme").step("train").config.lr == 0.01


def test_an_event_hook_that_fails_is_told_with_its_name_and_fails_no_run(project: Project) -> None:
    def llmops_event(run: Any, event: Any) -> None:
        if isinstance(event, events.StepEnded):
            raise RuntimeError("my tracker is down")

    project.extra = [("tracker", SimpleNamespace(llmops_event=hookimpl(llmops_event)))]
    manifest = project.run()
    assert manifest.document["status"] == "done"
    assert any("tracker" in text and "my tracker is down" in text for text in manifest.document["warnings"])
