"""What differs between two runs."""

from __future__ import annotations

from llmops_core.differences import differences
from llmops_core.manifest import read_run
from tests.conftest import CommandLine, Project


def rows(project: Project, old: str, new: str) -> dict[tuple[str, str], str]:
    found = differences(read_run(project.store, old), read_run(project.store, new))
    return {(row["what"], row["name"]): row["change"] for row in found}


def test_a_run_does_not_differ_from_its_repetition_but_for_what_is_live(project: Project) -> None:
    project.run()
    project.run()
    assert rows(project, "1", "2") == {}


def test_values_outputs_and_scores_that_changed_are_told_and_no_others(project: Project) -> None:
    project.run()
    project.run("train.lr=0.2", "evaluate.floor=0.9")
    found = rows(project, "1", "2")
    assert found.pop(("config", "train.lr")) == "0.1 -> 0.2"
    assert found.pop(("config", "evaluate.floor")) == "0.0 -> 0.9"
    assert found.pop(("score", "accuracy")) == "0.500 -> 0.900"
    assert {name for what, name in found if what == "output"} == {"train", "evaluate", "release", "deploy"}
    assert len(found) == 4


def test_steps_that_only_one_run_has_are_told_both_ways(project: Project) -> None:
    project.run()
    project.run("~deploy", "~release", "data@more=fake")
    forth, back = rows(project, "1", "2"), rows(project, "2", "1")
    assert forth["output", "deploy"].endswith(" -> no such step")
    assert forth["output", "more"].startswith("no such step -> ")
    assert back["output", "more"].endswith(" -> no such step")
    assert forth["config", "deploy.keep"] == "False -> unset"


def test_packages_and_machines_that_changed_are_told(project: Project) -> None:
    project.run()
    run = project.run()
    run.document["packages"]["pluggy"] = "0.1"
    run.document["machine"] = {**run.document["machine"], "cores": 999}
    run.document["git"] = {"commit": "abc", "dirty": False}
    run.save()
    found = rows(project, "1", "2")
    assert found["packages", "pluggy"].endswith(" -> 0.1")
    assert found["machine", "cores"].endswith(" -> 999")
    assert found["git", "commit"] == "unset -> abc"


def test_a_run_that_measured_nothing_is_compared_without_scores(
    project: Project, llmops: CommandLine
) -> None:
    project.run()
    project.run("~deploy", "~release", "~evaluate")
    assert not [name for what, name in rows(project, "1", "2") if what == "score"]
    told = llmops("runs", "diff", "1", "2")
    assert told.returncode == 0
    assert "evaluate" in told.stdout
