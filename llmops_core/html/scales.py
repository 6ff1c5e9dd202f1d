"""Where a value lies along an axis, and the round values that an axis names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmops_core.wording import MINUS

NARROWEST = 1e-6
"""Below this share of the values themselves, a range is widened: its ticks could not be told apart."""
TINIEST = 1e-12


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, with `low` below `high`."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """How far along the axis a value lies: 0 at `low`, 1 at `high`; held within the axis."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def percent(self, value: float) -> str:
        """The same, as an SVG coordinate."""
        return f"{100 * self.share(value):.2f}%"


def around(values: Iterable[float], margin: float = 0.06) -> Scale:
    """The axis that holds all values, with a margin (a share of their range) on each side."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    largest = max(abs(low), abs(high))
    room = (high - low) * margin
    if high - low <= max(largest * NARROWEST, TINIEST):
        room = largest * 0.1 if largest > TINIEST else 1.0
    # An axis of amounts that never go below zero does not show room there.
    floor = 0.0 if low >= 0 else -math.inf
    return Scale(max(floor, low - room), high + room)


def ticks(scale: Scale, wanted: int = 5) -> Sequence[float]:
    """About `wanted` round values within the axis: multiples of 1, 2 or 5 times a power of ten."""
    step = _round_step((scale.high - scale.low) / max(1, wanted))
    first = math.ceil(scale.low / step - 1e-9)
    last = math.floor(scale.high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> Sequence[str]:
    """The labels of an axis, all with the same number of decimals."""
    if len(values) < 2:
        return [f"{value:.4g}".replace("-", MINUS) for value in values]
    step = values[1] - values[0]
    largest = max(abs(value) for value in values)
    if largest >= 1e6 or largest < 1e-2:
        return [_powers(value, step) for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{value + 0.0:,.{decimals}f}".replace("-", MINUS) for value in values]


def _powers(value: float, step: float) -> str:
    """2e-4 rather than 0.0002."""
    if abs(value) < step / 2:
        return "0"
    digits = max(0, math.floor(math.log10(abs(value)) + 1e-9) - math.floor(math.log10(step) + 1e-9))
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def _round_step(rough: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5):
        if rough <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power
