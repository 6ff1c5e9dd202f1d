"""Every kind of bad recipe: all problems at once, each with place, what is wrong, and what to do."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_core.config import Recipe
from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl
from llmops_core.settings import setting
from tests.conftest import RECIPE, Project

LLMOPS = [sys.executable, "-m", "llmops_core.cli"]
REAL = "defaults:\n  - quickstart\n"


def plugin(*implementations: Implementation, **hooks: Any) -> Any:
    """A plugin with these implementations."""

    @hookimpl
    def llmops_implementations() -> Sequence[Implementation]:
        return implementations

    return SimpleNamespace(__name__="odd", llmops_implementations=llmops_implementations, **hooks)


def implementation(config: str, name: str = "odd", **others: Any) -> Implementation:
    return Implementation(
        "train", name, f"tests.core.test_check:{config}", "tests.fake_plugin:train", **others
    )


def test_a_recipe_without_problems_is_typed(project: Project) -> None:
    recipe = project.check()
    assert [step.name for step in recipe.steps] == ["data", "model", "train", "evaluate", "release", "deploy"]
    assert recipe.gives(recipe.step("evaluate")) == ("accuracy",)


def test_an_empty_recipe_says_so_and_where(project: Project) -> None:
    project.write("recipe.yaml", "")
    [found] = project.problems()
    assert (found.what, found.origin) == ("this recipe has no step", "recipe.yaml")


def test_problems_of_every_kind_come_together_each_with_place_and_remedy(project: Project) -> None:
    text = RECIPE + (
        "train:\n  lrr: 1\n  lr: zero\n  tuning: lagre\ndata:\n  rows: -1\n  source: nowhere.jsonl\n"
        "  token: hf_planted\nevaluate:\n  floor: ???\nrelease:\n  use: fke\n"
        "deploy:\n  inputs: {release: nothing}\n"
    )
    project.write("recipe.yaml", text)
    found = {one.where: one for one in project.problems("sede=3", "model.size=0")}
    assert {where: one.origin for where, one in found.items()} == {
        "train.lrr": "recipe.yaml:11",
        "train.lr": "recipe.yaml:12",
        "train.tuning": "recipe.yaml:13",
        "data.rows": "recipe.yaml:15",
        "data.source": "recipe.yaml:16",
        "data.token": "recipe.yaml:17",
        "evaluate.floor": "recipe.yaml:19",
        "release.use": "recipe.yaml:21",
        "deploy.inputs.release": "recipe.yaml:23",
        "sede": "command line",
        "model.size": "command line",
    }
    assert "Did you mean train.lr?" in found["train.lrr"].remedy
    assert "Did you mean large?" in found["train.tuning"].remedy
    assert "Did you mean fake?" in found["release.use"].remedy
    assert "Did you mean seed?" in found["sede"].remedy
    assert "at least 0 rows" in found["data.rows"].remedy
    assert str(project.folder / "nowhere.jsonl") in found["data.source"].what
    assert "hf_planted" not in "".join(str(one) for one in found.values())


def test_a_stage_that_is_not_there_and_a_step_without_implementation_are_told(project: Project) -> None:
    project.write(
        "recipe.yaml", RECIPE + "docs: {stage: dta, use: fake}\nmore: {stage: data}\ntrain: {stage: data}\n"
    )
    found = {one.where: one for one in project.problems()}
    assert "Did you mean data?" in found["docs.stage"].remedy
    assert "use: NAME" in found["more"].remedy
    assert "chosen as a train step" in found["train.stage"].what


def test_using_a_preset_s_name_as_an_implementation_says_how_to_choose_it(project: Project) -> None:
    project.write("recipe.yaml", RECIPE + "model: {use: smollm2_135m}\n")
    [found] = project.problems()
    assert "choose it with model=smollm2_135m" in found.remedy


def test_an_implementation_that_no_plugin_offers_names_the_nearest_and_where_else_it_is(
    project: Project,
) -> None:
    project.write("recipe.yaml", RECIPE + "train: {use: lightnin}\nmodel: {use: lightning}\n")
    found = {one.where: one.remedy for one in project.problems()}
    assert "Did you mean lightning?" in found["train.use"]
    assert "There is one in train." in found["model.use"]
    assert "install the plugin that brings it" in found["model.use"]


def test_import_paths_in_a_recipe_are_unknown_fields(project: Project) -> None:
    project.write("recipe.yaml", RECIPE + "train: {_target_: os.system}\n")
    [found] = project.problems()
    assert (found.where, found.what) == ("train._target_", "no such field of fake")


@pytest.mark.parametrize(
    ("gates", "what"),
    [
        ("{perplexity_rato: {at_most: 0.8}}", "nobody computes the score perplexity_rato"),
        ("{accuracy: {at_least: 1}}", "nobody computes the score accuracy"),
        ("{bleu: {at_least: 2, at_most: 1}}", "nothing passes"),
        ("{bleu: {}}", "a gate needs at_most or at_least"),
    ],
)
def test_a_gate_that_contradicts_the_evaluation_is_told_with_its_line(
    project: Project, gates: str, what: str
) -> None:
    project.write("r.yaml", REAL + f"release:\n  gates: {gates}\n")
    found = [one for one in project.problems(recipe="./r.yaml") if what in one.what]
    assert [one.origin for one in found] == ["r.yaml:4"]


def test_a_gate_on_a_score_that_an_override_removed_is_told(project: Project) -> None:
    found = project.problems("~evaluate.metrics.perplexity", recipe="quickstart")
    assert [one.where for one in found] == ["release.gates.perplexity_ratio"]


def test_a_missing_extra_is_told_even_beside_other_problems(project: Project) -> None:
    odd = implementation("Sound", needs=("no_such_module_here", "json"), extra="acme[fast]")
    project.extra = [("odd", plugin(odd))]
    found = project.problems("train=odd", "data.rows=x")
    assert [(one.where, one.what, one.remedy) for one in found if one.where == "train"] == [
        ("train", "odd needs no_such_module_here, not installed here", "pip install 'acme[fast]'")
    ]
    assert "data.rows" in {one.where for one in found}


@dataclasses.dataclass(frozen=True)
class Sound:
    """Nothing wrong."""

    lr: float = setting(1.0, doc="A rate.")


@dataclasses.dataclass(frozen=True)
class Undeclared:
    """A field without `setting`."""

    lr: float = 1.0


@dataclasses.dataclass(frozen=True)
class Reserved:
    """A field with a name that every step uses."""

    use: str = setting("", doc="Taken.")


class NoDataclass:
    """Not one."""


@dataclasses.dataclass(frozen=True)
class Untyped:
    """A type that is not there."""

    lr: NotThere = setting(1.0, doc="A rate.")  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("Undeclared", "lr is not declared"),
        ("Reserved", "a field called use"),
        ("NoDataclass", "no dataclass"),
        ("Untyped", "NotThere"),
        ("Nowhere", "Nowhere"),
    ],
)
def test_a_broken_dataclass_of_a_plugin_is_told_with_its_owner(
    project: Project, config: str, what: str
) -> None:
    project.extra = [("odd", plugin(implementation(config)))]
    [found] = project.problems("train=odd")
    assert found.where == "train.use"
    assert "odd" in found.what
    assert what in found.what


def test_a_plugin_s_check_may_add_problems_and_a_failing_one_is_told(project: Project) -> None:
    @hookimpl
    def llmops_check(recipe: Recipe) -> Sequence[Problem]:
        return [Problem("train.lr", f"{recipe.name} is wrong", "Do better.")]

    project.extra = [("strict", SimpleNamespace(__name__="strict", llmops_check=llmops_check))]
    assert [str(one) for one in project.problems()] == ["train.lr: recipe is wrong. Do better."]

    @hookimpl(specname="llmops_check")
    def failing(recipe: Recipe) -> Sequence[Problem]:
        raise RuntimeError("oh no")

    project.extra = [("strict", SimpleNamespace(__name__="strict", llmops_check=failing))]
    [found] = project.problems()
    assert "strict" in found.where
    assert "RuntimeError: oh no" in found.what


def llmops(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a folder."""
    return subprocess.run(
        [sys.executable, "-c", "from llmops_core.cli import main; main()", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("command", ["run", "plan", "check", "show config"])
def test_each_command_ends_with_status_2_tells_everything_and_writes_nothing(
    project: Project, command: str
) -> None:
    project.write("w/r.yaml", REAL + "train:\n  epoch: 3\n  lr: -1\nevaluate: {max_rows: many}\n")
    before = sorted(project.folder.rglob("*"))
    done = llmops(
        project.folder, *command.split(), "w/r.yaml", "trian.lr=3e-4", "model=smollm3", "data.seed=${x}"
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "7 problems in r"
    for place, what, remedy, origin in [
        ("train.epoch", "no such field of lightning", "Did you mean train.epochs?", "w/r.yaml:4"),
        ("train.lr", "-1.0 is out of range", "It must be above 0", "w/r.yaml:5"),
        ("evaluate.max_rows", "a whole number is wanted", "", "w/r.yaml:6"),
        ("trian", "no such key", "Did you mean train?", "command line"),
        ("model=smollm3", "no such preset in model/", "Did you mean smollm2_135m?", "command line"),
        ("data.seed", "interpolation", "Correct the ${...} there.", "command line"),
    ]:
        [line] = [line for line in lines if line.split(maxsplit=1)[:1] == [place] and what in line]
        assert remedy in line
        assert f"({origin})" in line
    assert sorted(project.folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "quikstart"], "Did you mean quickstart?"),
        (["check", "./nothing.yaml"], "there is no recipe file ./nothing.yaml"),
        (["check", "./broken.yaml"], "invalid YAML"),
        (["check", "./broken"], "Did you mean ./broken.yaml?"),
        (["chekc", "quickstart"], "chekc"),
        (["check"], "RECIPE"),
    ],
)
def test_a_command_line_that_cannot_be_followed_ends_with_status_2(
    project: Project, arguments: list[str], said: str
) -> None:
    project.write("broken.yaml", "a: [\n")
    done = llmops(project.folder, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_gets_the_problems_as_json(project: Project) -> None:
    import json

    done = llmops(project.folder, "check", "quickstart", "train.lr=x", "--json")
    assert done.returncode == 2
    [problem] = json.loads(done.stdout)["problems"]
    assert problem["where"] == "train.lr"
    assert problem["origin"] == "command line"
    assert problem["what"] and "remedy" in problem
