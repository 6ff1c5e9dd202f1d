"""The quickstart with the real model and data: what it promises, asserted on its real numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import Person

pytestmark = pytest.mark.real
CONTENT = ["data", "model", "train", "evaluate", "release"]


def step(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """A step's record."""
    return next(record for record in manifest["steps"] if record["name"] == name)


def facts(person: Person, digest: str) -> dict[str, Any]:
    """What the store knows of an artifact."""
    record = person.folder / ".llmops" / "artifacts" / digest / "artifact.json"
    return dict(json.loads(record.read_text())["facts"])


def lines(path: Path) -> list[str]:
    """The lines of a file."""
    return path.read_text(encoding="utf-8").splitlines()


def test_tuning_beats_the_base_model_on_held_out_rows(person: Person, quickstart: dict[str, Any]) -> None:
    scores = facts(person, step(quickstart, "evaluate")["output"])
    ratio = scores["values"]["perplexity_ratio"]
    assert scores["values"]["perplexity"]["value"] < scores["baseline"]["perplexity"]["value"]
    assert ratio["low"] < ratio["value"] < ratio["high"] < 1
    assert ratio["value"] < 0.8


def test_duplicates_dominate_the_corpus_and_are_gone(person: Person, quickstart: dict[str, Any]) -> None:
    dataset = facts(person, step(quickstart, "data")["output"])
    kept = sum(dataset["rows"].values())
    assert dataset["funnel"][0]["rows"] > 2 * kept
    folder = person.folder / ".llmops" / "artifacts" / step(quickstart, "data")["output"] / "files"
    questions = {
        split: {json.loads(line)["messages"][0]["content"] for line in lines(folder / f"{split}.jsonl")}
        for split in ("train", "validation", "test")
    }
    assert not questions["test"] & questions["train"]
    assert not questions["validation"] & questions["train"]


def test_the_release_was_served_probed_and_journalled(person: Person, quickstart: dict[str, Any]) -> None:
    release = step(quickstart, "release")
    history = json.loads(person.types("releases", "history", "--json").stdout)
    assert release["release"] == "r-1"
    assert history[-1]["release"] == "r-1"
    assert "stopped" in history[-1]["reason"]
    assert json.loads(person.types("releases", "at", "2020-01-01", "--json").stdout) == []


def test_estimates_stand_beside_actuals(quickstart: dict[str, Any]) -> None:
    for name in ("model", "train", "evaluate", "deploy"):
        record = step(quickstart, name)
        assert record["estimate"]["time"]["basis"]
        assert record["actual"]["time"] > 0
        assert record["actual"]["memory"] > 1e8


def test_the_report_shows_scores_curve_and_funnel(person: Person, quickstart: dict[str, Any]) -> None:
    report = (person.folder / ".llmops" / "runs" / quickstart["id"] / "report.html").read_text()
    assert report.count("<svg") >= 3
    assert "perplexity_ratio" in report
    assert not re.search(r"""(src|href)=["']https?://""", report)


def test_the_second_run_reuses_everything_but_deploy(person: Person, quickstart: dict[str, Any]) -> None:
    again = person.runs("quickstart", LLMOPS_OFFLINE="1")
    assert [step(again, name)["status"] for name in CONTENT] == ["reused"] * 5
    assert step(again, "deploy")["status"] == "done"
    assert [step(again, name)["output"] for name in CONTENT] == [
        step(quickstart, name)["output"] for name in CONTENT
    ]


def test_a_gate_that_fails_ends_with_status_three_and_says_by_how_much(
    person: Person, quickstart: dict[str, Any]
) -> None:
    refused = person.types("run", "quickstart", "release.gates.perplexity_ratio.at_most=0.01")
    assert refused.returncode == 3
    assert re.search(r"perplexity_ratio.*0\.01", refused.stderr)
    assert len(json.loads(person.types("releases", "history", "--json").stdout)) >= 1
    releases = person.types("releases").stdout
    assert "r-2" not in releases


def test_every_file_of_the_store_is_whole(person: Person, quickstart: dict[str, Any]) -> None:
    verified = person.types("store", "verify")
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.strip().endswith("0 damaged")


def test_no_model_hub_is_reached(quickstart: dict[str, Any], person: Person) -> None:
    log = person.folder / ".llmops" / "runs" / quickstart["id"] / "log.txt"
    assert not log.exists() or "huggingface.co" not in log.read_text()


def test_a_run_writes_nothing_beside_its_store(quickstart: dict[str, Any]) -> None:
    assert quickstart["written"] == [".llmops"]
