"""The rows of a dataset that stand out: long, short, repeating themselves, full of odd characters."""

from __future__ import annotations

import heapq
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmops_data.words import words

KEPT = 5
SHOWN = 300
LOOKED_AT = 20_000
"""Characters of a row in which repetition and odd letters are looked for."""
FEWEST_WORDS = 20
RUN = 3
"""Words that are counted as repeated when they came together before."""
REPEATS = 0.3
ODD = 0.05
HARMLESS = "\n\r\t"
ODD_KINDS = ("Cc", "Cn", "Co", "Cs", "So")
"""Control characters, what no standard or no font has, and symbols (the replacement character is one)."""


class Place(NamedTuple):
    """Where a row stands: its split and its line in it, from 1."""

    split: str
    line: int

    def __str__(self) -> str:
        return f"{self.split}:{self.line}"


class Outliers:
    """The most striking rows of each kind among those it is shown."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[tuple[float, int, Mapping[str, Any]]]] = {}
        self._seen = 0

    def see_length(self, place: Place, said: Sequence[str]) -> None:
        """Look at how long a row is, in characters."""
        self._seen += 1
        length = sum(map(len, said))
        self._offer("longest", length, place, said, f"{length:,} characters")
        self._offer("shortest", -length, place, said, f"{length:,} characters")

    def see_text(self, place: Place, said: Sequence[str]) -> None:
        """Look at what a row says."""
        text = "\n".join(said)[:LOOKED_AT]
        if (share := repeated(text)) >= REPEATS:
            told = f"{share:.0%} of its runs of {RUN} words came before in it"
            self._offer("repetitive", share, place, said, told)
        odd = odd_characters(text)
        if (share := odd.total() / max(1, len(text))) >= ODD:
            told = " ".join(f"{_named(one)} {count}" for one, count in odd.most_common(5))
            self._offer("odd characters", share, place, said, f"{share:.0%} of it: {told}")

    def _offer(self, kind: str, weight: float, place: Place, said: Sequence[str], told: str) -> None:
        found = self._kinds.setdefault(kind, [])
        if len(found) == KEPT and weight <= found[0][0]:
            return
        shown = {"row": str(place), "told": told, "text": " ⏎ ".join(said)[:SHOWN]}
        # the later of two equals is the lesser, so the first ones stay
        item = (weight, -self._seen, shown)
        if len(found) < KEPT:
            heapq.heappush(found, item)
        else:
            heapq.heapreplace(found, item)

    def document(self) -> dict[str, list[Mapping[str, Any]]]:
        """Kind -> rows, the most striking first."""
        order = ("longest", "shortest", "repetitive", "odd characters")
        return {
            kind: [shown for _, _, shown in sorted(self._kinds[kind], key=lambda one: (-one[0], -one[1]))]
            for kind in order
            if kind in self._kinds
        }


def repeated(text: str) -> float:
    """The share of a text's runs of words that came before in it; 0 for a short one."""
    found = words(text)
    runs = [*zip(*(found[start:] for start in range(RUN)), strict=False)]
    return 1 - len(set(runs)) / len(runs) if len(found) >= FEWEST_WORDS else 0.0


def odd_characters(text: str) -> Counter[str]:
    """Characters that seldom belong into a text."""
    return Counter(
        {
            one: count
            for one, count in Counter(text).items()
            if one not in HARMLESS and unicodedata.category(one) in ODD_KINDS
        }
    )


def _named(character: str) -> str:
    kind = unicodedata.category(character)
    return character if kind == "So" and character != "\ufffd" else f"U+{ord(character):04X}"
