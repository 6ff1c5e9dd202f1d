"""What will run and why."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_core.errors import PluginError
from llmops_core.hookspecs import Implementation, hookimpl
from llmops_core.plan import Planner
from tests.conftest import Project


def told(project: Project, *overrides: str) -> dict[str, tuple[str, str]]:
    return {one.step.name: (one.action, one.reason) for one in project.plan(*overrides).steps}


def test_a_first_plan_runs_everything_and_says_what_each_step_needs(project: Project) -> None:
    assert told(project) == {
        "data": ("run", "never run yet"),
        "model": ("run", "never run yet"),
        "train": ("run", "never run yet; needs model and data"),
        "evaluate": ("run", "never run yet; needs train and model and data"),
        "release": ("run", "never run yet; needs train and evaluate"),
        "deploy": ("always", "acts on the live world, after release"),
    }


def test_planning_writes_nothing(project: Project) -> None:
    before = sorted(project.folder.rglob("*"))
    project.plan()
    assert sorted(project.folder.rglob("*")) == before


def test_what_was_run_is_reused_and_deploy_always_acts(project: Project) -> None:
    run = project.run().id
    found = told(project)
    assert {name: action for name, (action, _) in found.items()} == {
        **dict.fromkeys(["data", "model", "train", "evaluate", "release"], "reuse"),
        "deploy": "always",
    }
    assert found["data"][1] == f"same as run {run}"
    assert found["deploy"][1] == "acts on the live world"


def test_a_changed_field_is_named_and_what_follows_depends_on_its_output(project: Project) -> None:
    project.run()
    found = told(project, "train.lr=0.5")
    assert found["data"][0] == found["model"][0] == "reuse"
    assert found["train"] == ("run", "train.lr: 0.1 -> 0.5")
    assert found["evaluate"] == ("run", "unless train's output is unchanged")
    assert found["release"] == ("run", "unless train and evaluate's outputs are unchanged")


def test_the_nearest_earlier_run_is_the_one_compared_with(project: Project) -> None:
    project.run("train.lr=5", "train.warmup_steps=3")
    project.run("train.lr=6")
    assert told(project, "train.lr=5", "train.warmup_steps=4")["train"][1] == "train.warmup_steps: 3 -> 4"


def test_scaling_a_deployment_retrains_nothing(project: Project) -> None:
    project.run()
    found = told(project, "deploy.replicas=2", "data.workers=4", "env=prod")
    assert [action for action, _ in found.values()] == ["reuse"] * 5 + ["always"]


@pytest.mark.parametrize(
    ("overrides", "step", "reason"),
    [
        (["seed=8"], "data", "seed: 7 -> 8"),
        (["train.tuning=large"], "train", "train.tuning: small -> large"),
        (["evaluate.inputs.candidate=model"], "evaluate", "input baseline changed; input candidate changed"),
        (
            ["data.steps.share={}"],
            "data",
            "data.steps.share.share: unset -> 1.0; data.steps.share: nothing -> share",
        ),
    ],
)
def test_the_reason_names_what_changed(
    project: Project, overrides: list[str], step: str, reason: str
) -> None:
    project.run()
    assert told(project, *overrides)[step] == ("run", reason)


def test_an_output_that_is_gone_is_made_again_and_says_so(project: Project) -> None:
    project.run()
    digest = next(one.output for one in project.plan().steps if one.step.name == "data")
    (project.store.root / "artifacts" / digest / "files" / "train.jsonl").unlink()
    assert told(project)["data"] == ("run", "its earlier output is missing or damaged")


def test_estimates_carry_their_basis_and_are_corrected_by_earlier_runs(project: Project) -> None:
    [time, memory] = project.plan().steps[0].estimates
    assert (time.value, time.basis) == (2.0, "counted")
    project.run()
    [time, memory] = next(
        one for one in project.plan("data.rows=9").steps if one.step.name == "data"
    ).estimates
    assert time.value < 1
    assert "from 1 earlier run" in time.basis
    assert memory.what == "memory"


def broken_estimate(config: Any, inputs: Any) -> Sequence[Any]:
    raise ZeroDivisionError("no rows")


def test_an_estimate_that_fails_is_told_with_its_owner(project: Project) -> None:
    @hookimpl
    def llmops_implementations() -> Sequence[Implementation]:
        guess = "tests.core.test_plan:broken_estimate"
        names = ("tests.fake_plugin:FakeData", "tests.fake_plugin:make_data")
        return [Implementation("data", "odd", *names, estimate=guess)]

    odd = SimpleNamespace(__name__="odd", llmops_implementations=llmops_implementations)
    project.extra = [("odd", odd)]
    planner = Planner(project.check("data=odd"), project.plugins(), project.store)
    with pytest.raises(PluginError, match="the estimate of odd failed: ZeroDivisionError: no rows"):
        planner.plan()


def test_the_plan_follows_the_recipe_s_own_wiring(project: Project) -> None:
    project.run("data@docs=fake", "docs.rows=9", "evaluate.inputs.data=docs")
    found = told(project, "data@docs=fake", "docs.rows=8", "evaluate.inputs.data=docs")
    assert found["docs"] == ("run", "docs.rows: 9 -> 8")
    assert found["train"][0] == "reuse"
    assert found["evaluate"] == ("run", "unless docs's output is unchanged")
