"""The flow end to end with fake steps."""

from __future__ import annotations

from pathlib import Path

from llmops_core.runner import Runner
from llmops_core.store import Store
from tests.conftest import Project


def test_a_recipe_runs_and_the_second_run_reuses_all_but_deploy(project: Project) -> None:
    first = project.run()
    second = project.run()
    assert [step["status"] for step in first.document["steps"]] == ["done"] * 6
    assert [step["status"] for step in second.document["steps"]] == ["reused"] * 5 + ["done"]
    assert [step["output"] for step in first.document["steps"]][:5] == [
        step["output"] for step in second.document["steps"]
    ][:5]


def test_a_store_named_by_a_relative_path_works_like_any(project: Project) -> None:
    relative = Store(Path("here"))
    for _ in range(2):
        run = Runner(project.check(), project.plugins(), relative).run()
    assert [step["status"] for step in run.document["steps"]] == ["reused"] * 5 + ["done"]
    assert (run.artifact(run.step("data")["output"]).folder / "train.jsonl").is_file()
