"""What the validation losses of a curve say: which step was best, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Best:
    """The lowest validation loss, the step it was measured after, and how many validations came since."""

    step: int
    loss: float
    since: int


def best_of(rows: Rows) -> Best | None:
    """The first of a curve's lowest validation losses; None where there are none."""
    found = [(int(row["step"]), row["validation_loss"]) for row in rows if "validation_loss" in row]
    if not found:
        return None
    at = min(range(len(found)), key=lambda place: found[place][1])
    return Best(*found[at], since=len(found) - 1 - at)


def is_over(rows: Rows, patience: int | None) -> bool:
    """Whether `patience` validations have passed without a lower loss."""
    best = best_of(rows)
    return patience is not None and best is not None and best.since >= patience


def validated(rows: Rows, step: int) -> bool:
    """Whether the curve has a validation after `step` optimizer steps."""
    return any(row["step"] == step and "validation_loss" in row for row in rows)
