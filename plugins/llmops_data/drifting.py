"""How far two datasets are apart, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LITTLE, SOME, MUCH = "little", "some", "much"


@dataclass(frozen=True)
class Much:
    """From where on a distance is much; less than 40 % of it is little."""

    lengths: float = 0.25
    words: float = 0.2
    languages: float = 0.1
    sources: float = 0.1
    labels: float = 0.1


ABOUT: Mapping[str, str] = {
    "lengths": "stability index of the rows' lengths",
    "words": "divergence of the words used",
    "languages": "divergence of the languages",
    "sources": "divergence of where rows come from",
    "labels": "divergence of a label's values, of the label that changed most",
}
"""What each distance is. The population stability index has no upper end; divergences (Jensen-Shannon, in
bits) end at 1."""


def drift(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, float]:
    """How far two profiles are apart: 0 is the same. Sources and labels only where both know them."""
    before, after = (_summed(one["histogram"]["splits"].values()) for one in (old, new))
    found = {
        "lengths": stability(before, after),
        "words": divergence(old["word_shares"], new["word_shares"]),
        "languages": divergence(old["languages"], new["languages"]),
    }
    if old["sources"] and new["sources"]:
        found["sources"] = divergence(*(_totals(one["sources"]) for one in (old, new)))
    labels = [name for name in old["labels"] if name in new["labels"]]
    if labels:
        found["labels"] = max(
            divergence(*(_totals(one["labels"][name]) for one in (old, new))) for name in labels
        )
    return {name: round(value, 4) for name, value in found.items()}


def verdict(name: str, value: float, limits: Any = None) -> str:
    """A distance in a word: "little", "some" or "much"."""
    limit = getattr(limits or Much(), name)
    return MUCH if value > limit else SOME if value > 0.4 * limit else LITTLE


def _totals(counts: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    return {value: float(sum(splits.values())) for value, splits in counts.items()}


def _summed(counts: Iterable[Sequence[int]]) -> list[int]:
    return [sum(one) for one in zip(*counts, strict=True)]


def stability(before: Sequence[int], after: Sequence[int]) -> float:
    """The population stability index of two histograms; half a row stands in for an empty bin."""
    found = 0.0
    for old, new in zip(before, after, strict=True):
        if old or new:
            was, now = max(old, 0.5) / max(1, sum(before)), max(new, 0.5) / max(1, sum(after))
            found += (now - was) * math.log(now / was)
    return found


def divergence(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The Jensen-Shannon divergence of two distributions given as weights, in bits."""
    wholes = sum(before.values()) or 1.0, sum(after.values()) or 1.0
    found = 0.0
    for name in {*before, *after}:
        was, now = before.get(name, 0.0) / wholes[0], after.get(name, 0.0) / wholes[1]
        middle = (was + now) / 2
        found += sum(part * math.log2(part / middle) for part in (was, now) if part > 0) / 2
    return found
