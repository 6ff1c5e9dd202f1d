"""Releases and deployments as rows."""

from __future__ import annotations

from llmops_core.deployments import describe, history, live_at, released
from llmops_core.gc import collect
from tests.conftest import Project
from tests.stand_ins import outputs


def test_nothing_yet_is_no_rows(project: Project) -> None:
    assert released(project.store) == []
    assert history(project.store, None) == []
    assert live_at(project.store, "2026-11-20T09:00", None) == []
    assert not project.store.root.exists(), "looking makes no store"


def test_a_release_tells_its_model_gates_scores_and_place(project: Project) -> None:
    run = project.run()
    rows = {row["what"]: row["value"] for row in describe(project.store, "latest")}
    assert rows["release"] == f"r-1 · {outputs(run)[4]}"
    assert rows["made"].endswith(" by run 1")
    assert rows["model"].startswith("fake-tuned") and rows["tuned from"].startswith("fake,")
    assert "value 0.5" in rows["gate accuracy"] and "passed True" in rows["gate accuracy"]
    assert rows["accuracy"] == "0.500"
    assert outputs(run)[4] in rows["files"]


def test_history_has_the_newest_first_and_can_be_of_one_environment(project: Project) -> None:
    project.write("conf/env/prod.yaml", "{}\n")
    project.run()
    project.run("env=prod", "train.lr=0.2")
    assert [(row["environment"], row["release"]) for row in history(project.store, None)] == [
        ("prod", "r-2"),
        ("dev", "r-1"),
    ]
    assert [row["release"] for row in history(project.store, "dev")] == ["r-1"]


def test_what_was_deployed_stays_described_after_gc(project: Project) -> None:
    project.run()
    project.run("train.lr=0.2")
    collect(project.store, keep_latest=False)
    assert all(row["what"] for name in ("r-1", "r-2") for row in describe(project.store, name))
