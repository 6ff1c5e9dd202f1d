"""Which rows each optimizer step sees, in what order: a function of lengths and seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_lightning.objective import Example, Objective

WINDOW = 8
"""Optimizer steps over which rows are sorted by length: more means less padding and less chance."""


@dataclass(frozen=True)
class OptimizerStep:
    """The rows of one optimizer step."""

    batches: tuple[tuple[int, ...], ...]
    """Positions of examples, a tuple for each micro-batch."""
    weight: int
    """How many tokens have loss in the whole step."""
    tokens: int
    """How many tokens, padding left out."""


def plan_steps(
    examples: Sequence[Example], epochs: int, batch_size: int, accumulate: int, seed: int
) -> tuple[OptimizerStep, ...]:
    """Every optimizer step of the training, each row once an epoch, rows of like length together."""
    steps: list[OptimizerStep] = []
    for epoch in range(epochs):
        chance = random.Random(f"{seed} {epoch}")
        order = list(range(len(examples)))
        chance.shuffle(order)
        size = batch_size * accumulate
        ofepoch: list[OptimizerStep] = []
        for start in range(0, len(order), size * WINDOW):
            window = sorted(order[start : start + size * WINDOW], key=lambda at: examples[at].length)
            ofepoch += [
                _step(window[at : at + size], examples, batch_size) for at in range(0, len(window), size)
            ]
        chance.shuffle(ofepoch)
        steps += ofepoch
    return tuple(steps)


def _step(rows: Sequence[int], examples: Sequence[Example], batch_size: int) -> OptimizerStep:
    return OptimizerStep(
        tuple(tuple(rows[at : at + batch_size]) for at in range(0, len(rows), batch_size)),
        sum(examples[row].weight for row in rows),
        sum(examples[row].length for row in rows),
    )


@dataclass
class StepLoader:
    """Gives Lightning one optimizer step after another, from `start` on."""

    steps: Sequence[OptimizerStep]
    examples: Sequence[Example]
    objective: Objective
    start: int = 0
    batch_size: int = field(default=1, init=False)

    def __len__(self) -> int:
        return len(self.steps) - self.start

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for step in self.steps[self.start :]:
            batches = [self.objective.collate([self.examples[row] for row in rows]) for rows in step.batches]
            yield {"batches": batches, "weight": step.weight, "tokens": step.tokens}
