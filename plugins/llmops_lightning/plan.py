"""The whole schedule of a training, written before its first step.

plan.jsonl has a line for each optimizer step: which examples form which row of which micro-batch, and the
tokens with loss that the step's loss is divided by, over all processes. With `n` processes, micro-batch `i`
of a step runs on process `i` modulo `n`: the plan is the same for any number of them. plan.json sums it up.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from llmops_lightning.planner import Planned, Schedule, planned_steps

SUMMARY, STEPS = "plan.json", "plan.jsonl"
FORMAT = 1


class Sized(Protocol):
    """What a plan needs to know of examples."""

    @property
    def lengths(self) -> Any:
        """Tokens of each example."""

    @property
    def weights(self) -> Any:
        """Tokens with loss of each example."""

    @property
    def rows(self) -> Any:
        """The row each example comes from."""

    @property
    def digest(self) -> str:
        """Of all examples."""


@dataclass(frozen=True)
class Plan:
    """A plan on disk: its steps are read as they are needed."""

    folder: Path

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """steps, epochs, examples, tokens, loss_tokens, padded_tokens, worst_batch, digest."""
        found: Mapping[str, Any] = json.loads((self.folder / SUMMARY).read_text(encoding="utf-8"))
        return found

    @property
    def digest(self) -> str:
        """Of the examples and of every step: with a step's number, all that says where a training is."""
        return str(self.summary["digest"])

    @cached_property
    def _index(self) -> tuple[array[int], array[int]]:
        """Where each step's line begins, and the tokens of all steps before it."""
        places, before = array("q", [0]), array("q", [0])
        with (self.folder / STEPS).open("rb") as lines:
            for line in lines:
                places.append(places[-1] + len(line))
                before.append(before[-1] + json.loads(line)["padded_tokens"])
        return places, before

    def __len__(self) -> int:
        return int(self.summary["steps"])

    def left(self, done: int) -> int:
        """Tokens, padding included, of the steps after `done`."""
        before = self._index[1]
        return before[-1] - before[done]

    def steps(self, start: int = 0) -> Iterator[Planned]:
        """The steps after the first `start`."""
        with (self.folder / STEPS).open("rb") as lines:
            lines.seek(self._index[0][start])
            for line in lines:
                yield _read(json.loads(line))

    def copy(self, folder: Path) -> None:
        """Put it into another folder."""
        for name in (SUMMARY, STEPS):
            shutil.copyfile(self.folder / name, folder / name)


def write_plan(folder: Path, examples: Sized, schedule: Schedule) -> Plan:
    """Plan a training of `examples` into `folder`: the same examples and schedule give the same bytes."""
    made = hashlib.sha256(f"{FORMAT} {examples.digest}\n".encode())
    totals = {"steps": 0, "tokens": 0, "loss_tokens": 0, "padded_tokens": 0}
    worst = (0, 0)
    with (folder / STEPS).open("wb") as lines:
        lengths, weights = _plain(examples.lengths), _plain(examples.weights)
        for step in planned_steps(lengths, weights, schedule):
            line = json.dumps(asdict(step), separators=(",", ":")).encode() + b"\n"
            lines.write(line)
            made.update(line)
            totals["steps"] += 1
            for name in ("tokens", "loss_tokens", "padded_tokens"):
                totals[name] += getattr(step, name)
            for batch in step.batches:
                width = max(sum(lengths[at] for at in row) for row in batch)
                worst = max(worst, (len(batch), width), key=lambda shape: shape[0] * shape[1])
    summary = {
        "format": FORMAT,
        **totals,
        "epochs": schedule.epochs,
        "examples": len(examples.weights),
        "rows": _ranges(examples.rows),
        "worst_batch": {"rows": worst[0], "tokens": worst[1]},
        "digest": made.hexdigest(),
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return Plan(folder)


def _plain(values: Any) -> array[int]:
    """Numbers that Python sums and compares fast, at eight bytes each."""
    return array("q", values.astype("int64").tobytes())


def _read(line: Mapping[str, Any]) -> Planned:
    batches = tuple(tuple(tuple(row) for row in batch) for batch in line["batches"])
    return Planned(**{**line, "batches": batches})


def _ranges(rows: Sequence[int]) -> Sequence[tuple[int, int]]:
    """The rows that examples 0, 1, 2, ... come from, as (first, last) of neighbours."""
    found: list[tuple[int, int]] = []
    for row in map(int, rows):
        if found and found[-1][1] == row - 1:
            found[-1] = (found[-1][0], row)
        else:
            found.append((row, row))
    return found
