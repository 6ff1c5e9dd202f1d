"""The plan as a file: whole, the same bytes for the same examples, read from any step on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from llmops_core.artifacts import Dataset, Model
from llmops_lightning.plan import Plan, write_plan
from llmops_lightning.planner import Schedule, planned_steps
from llmops_lightning.train import train

LENGTHS = [(at * 37) % 50 + 2 for at in range(70)]
SCHEDULE = Schedule(epochs=2, batch_size=3, accumulate=2, seed=4)


@dataclass(frozen=True)
class Known:
    digest: str = "d"

    @property
    def lengths(self) -> Any:
        return numpy.array(LENGTHS)

    @property
    def weights(self) -> Any:
        return numpy.array(LENGTHS) - 1

    @property
    def rows(self) -> Any:
        return numpy.array([*range(1, 41), *range(51, 81)])


def written(folder: Path, examples: Known, schedule: Schedule = SCHEDULE) -> Plan:
    folder.mkdir(exist_ok=True)
    return write_plan(folder, examples, schedule)


def test_its_steps_are_read_from_any_place(tmp_path: Path) -> None:
    plan = Plan(written(tmp_path, Known()).folder)
    expected = list(planned_steps(LENGTHS, [length - 1 for length in LENGTHS], SCHEDULE))
    assert len(plan) == len(expected) == 24
    assert list(plan.steps()) == expected
    assert list(plan.steps(17)) == expected[17:]
    assert list(plan.steps(24)) == []
    assert plan.left(24) == 0
    assert plan.left(20) == sum(step.padded_tokens for step in expected[20:])


def test_it_sums_itself_up(tmp_path: Path) -> None:
    summary = written(tmp_path, Known()).summary
    widest = max(LENGTHS)
    assert summary["steps"] == 24
    assert summary["tokens"] == 2 * sum(LENGTHS)
    assert summary["loss_tokens"] == 2 * (sum(LENGTHS) - 70)
    assert summary["worst_batch"] == {"rows": 3, "tokens": widest}
    assert summary["rows"] == [[1, 40], [51, 80]]


def test_its_digest_covers_examples_and_schedule(tmp_path: Path) -> None:
    digests = [
        written(tmp_path / "one", Known()).digest,
        written(tmp_path / "other-content", Known(digest="e")).digest,
        written(tmp_path / "other-seed", Known(), replace(SCHEDULE, seed=5)).digest,
    ]
    assert len(set(digests)) == 3
    assert written(tmp_path / "again", Known()).digest == digests[0]


@pytest.mark.parametrize("max_steps", [None, 3])
def test_a_training_takes_the_planned_steps_with_the_planned_denominators(
    base: Model, data: Dataset, make_run: Any, settings: Any, max_steps: int | None
) -> None:
    tuned = train(settings(max_steps=max_steps, epochs=2), make_run(), model=base, data=data)
    plan = Plan(tuned.folder)
    curve = [json.loads(line) for line in (tuned.folder / "training.jsonl").read_text().splitlines()]
    taken = [(row["step"], row["loss_tokens"], row["tokens"]) for row in curve if "loss" in row]
    assert taken == [(step.step, step.loss_tokens, step.tokens) for step in plan.steps()]
    assert len(taken) == (max_steps or 12)
