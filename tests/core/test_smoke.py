"""The flow end to end with fake steps."""

from __future__ import annotations

from tests.conftest import Project


def test_a_recipe_runs_and_the_second_run_reuses_all_but_deploy(project: Project) -> None:
    first = project.run()
    second = project.run()
    assert [step["status"] for step in first.document["steps"]] == ["done"] * 6
    assert [step["status"] for step in second.document["steps"]] == ["reused"] * 5 + ["done"]
    assert [step["output"] for step in first.document["steps"]][:5] == [
        step["output"] for step in second.document["steps"]
    ][:5]
