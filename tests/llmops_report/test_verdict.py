"""Verdict: one line that says how a run came out, whatever is missing."""

from __future__ import annotations

import dataclasses

import pytest

from llmops_core.artifacts import Scores
from llmops_report.facts import Facts, Gate, gates
from llmops_report.verdict import verdict


def test_a_release_is_named_with_the_gates_it_passed(released: Facts) -> None:
    told = verdict(released)
    assert (told.status, told.headline) == ("done", "Released r-4")
    assert (
        told.detail
        == "2 of 2 gates passed: perplexity_ratio is 0.562 (at most 0.8); rouge_l is 0.312 (at least 0.15)."
    )


def test_a_release_without_a_name_goes_by_its_digest(released: Facts) -> None:
    released.document["steps"][4]["result"] = ""
    assert verdict(released).headline == "Released 9b03d2c4"


def test_a_refusal_names_the_number_and_by_how_much_it_missed(refused: Facts) -> None:
    told = verdict(refused)
    assert told.headline == "Refused by perplexity_ratio"
    assert told.detail.startswith(
        "perplexity_ratio is 0.562 (at most 0.5619, missed by 0.0001). Passed: rouge_l"
    )
    assert told.remedy.startswith("Train longer")


def test_a_refusal_whose_scores_are_gone_still_gives_the_reason(refused: Facts) -> None:
    del refused.document["config"]
    told = verdict(refused)
    assert told.headline == "Refused by a gate"
    assert "more than 0.5619" in told.detail


def test_a_failure_says_where_what_and_what_to_do(failed: Facts) -> None:
    told = verdict(failed)
    assert told.headline == "Failed in train"
    assert told.detail == "train.truncate: every label of all 697 rows is masked away."
    assert told.remedy.startswith("Raise train.longest")


def test_an_interruption_says_how_to_go_on(interrupted: Facts) -> None:
    told = verdict(interrupted)
    assert told.headline == "Interrupted in train"
    assert told.detail.startswith("2 of 6 steps done.")
    assert told.command == "llmops run --from 7"


@pytest.mark.parametrize("status", ["done", "refused", "failed", "interrupted", "running", "", "melted"])
def test_every_status_has_a_verdict_even_of_an_empty_record(status: str) -> None:
    told = verdict(Facts({"status": status}, {}))
    assert told.headline
    assert told.status == (status if status not in ("", "melted") else "unknown")


def test_a_run_without_a_release_is_done() -> None:
    document = {"status": "done", "steps": [{"name": "data", "stage": "data", "status": "done"}]}
    told = verdict(Facts(document, {}))
    assert (told.headline, told.detail) == ("Done, with nothing to release", "1 of 1 step done.")


def test_an_unmeasured_score_does_not_pass_its_gate() -> None:
    gate = Gate("toxicity", None, 0.1, None)
    assert not gate.passed
    assert gate.shown_value == "not measured"


@pytest.mark.parametrize(("value", "missed"), [(0.8, 0), (0.85, 0.05), (0.15, 0), (0.05, 0.1), (0.5, 0)])
def test_a_gate_misses_by_the_distance_to_the_nearest_allowed_value(value: float, missed: float) -> None:
    assert Gate("ratio", value, 0.8, 0.15).missed_by == pytest.approx(missed)


def test_a_gate_on_an_interval_compares_its_worse_end(refused: Facts) -> None:
    gate = {"perplexity_ratio": {"at_most": 0.6, "on": "interval"}}
    refused.document["config"]["release"]["gates"] = gate
    told = verdict(refused)
    assert told.headline == "Refused by perplexity_ratio"
    assert "0.562, its interval from 0.510 to 0.620 (at most 0.6, missed by 0.020)" in told.detail


def test_each_release_is_judged_by_the_scores_it_was_given(refused: Facts) -> None:
    other = refused.artifacts["evaluate"]
    assert isinstance(other, Scores)
    later = dataclasses.replace(other, digest="later", values={"perplexity_ratio": {"value": 0.4}})
    refused.artifacts["again"] = later
    refused.document["steps"].append(
        {"name": "again", "stage": "evaluate", "output": "later", "status": "done"}
    )
    assert [gate.value for gate in gates(refused) if gate.score == "perplexity_ratio"] == [0.562]
