"""Compares scores with gates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmops_release.config import Gate

WORSE_END = {"at_most": "high", "at_least": "low"}
"""By bound: the end of an interval that is nearer to missing it."""


@dataclass(frozen=True)
class Verdict:
    """One gate, judged. `missed` says in words what is wrong, and is empty when it passed."""

    name: str
    gate: Gate
    score: Mapping[str, Any] | None
    missed: str

    def record(self) -> dict[str, Any]:
        """What a release keeps of it."""
        told: dict[str, Any] = {"value": None, **(self.score or {})}
        told = {key: told[key] for key in ("value", "low", "high") if key in told}
        bounds = {"at_most": self.gate.at_most, "at_least": self.gate.at_least}
        told |= {side: bound for side, bound in bounds.items() if bound is not None}
        return {**told, "on": self.gate.on, "passed": not self.missed}


def judge(gates: Mapping[str, Gate], scores: Mapping[str, Mapping[str, Any]]) -> Sequence[Verdict]:
    """Every gate against the scores by name."""
    return [
        Verdict(name, gate, scores.get(name), _missed(name, gate, scores)) for name, gate in gates.items()
    ]


def _missed(name: str, gate: Gate, scores: Mapping[str, Mapping[str, Any]]) -> str:
    score = scores.get(name)
    if score is None:
        why = " (it compares with a baseline; was there one?)" if name.endswith(("_ratio", "_gain")) else ""
        return f"{name} was not measured{why}"
    return "; ".join(filter(None, (_side(name, gate, score, side) for side in WORSE_END)))


def _side(name: str, gate: Gate, score: Mapping[str, Any], side: str) -> str:
    bound, end = getattr(gate, side), WORSE_END[side]
    if bound is None:
        return ""
    value, number = score.get("value"), score.get("value" if gate.on == "value" else end)
    if number is None or value is None or math.isnan(number) or math.isnan(value):
        return f"{name} is not a number, which passes no gate"
    over = number - bound if side == "at_most" else bound - number
    if over <= 0:
        return ""
    told = (
        shown(value)
        if gate.on == "value"
        else f"{shown(value)} with its interval's {end} end at {shown(number)}"
    )
    return f"{name} is {told}, {side} {shown(bound)} is asked: missed by {shown(over)}{_share(over, bound)}"


def _share(over: float, bound: float) -> str:
    return f" ({over / abs(bound):.1%})" if bound and math.isfinite(over) else ""


def shown(number: float) -> str:
    """A number for a person: four digits that matter."""
    return f"{number:.4g}"
