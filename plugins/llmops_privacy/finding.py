"""Finds personal data by its form: patterns propose, checksums decide, words around tell how sure it is."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llmops_privacy.folding import Folded, folded

BEFORE, AFTER = 48, 24
"""Letters around a match in which words count that tell what it is."""
DOUBT = re.compile(
    r"\b(?:order|invoice|ticket|tracking|serial|article|item|part|model|version|release|build|isbn|issn|ean|"
    r"sku|batch|lot|port|chapter|section|oid|object\w*|rfcs?|pep|bugs?|issues?|error|bestell\w*|rechnung\w*|artikel\w*|sendungs\w*|commande|facture|"
    r"pedido|factura|ordine|fattura|bestelling|factuur|fatura)\b|\bv\.?$|[$€£¥]\s*$",
    re.IGNORECASE,
)
"""Words before a number that say it is another kind of number."""
NEAR = 24
"""Letters before a match in which they count."""
JOINTS = frozenset(".,-/:")

Span = tuple[int, int, str]
"""Start, end, and the value in one spelling."""


class Match(NamedTuple):
    """Something that was found, with its place in the text. `value` is it in one spelling."""

    start: int
    end: int
    kind: str
    score: float
    value: str


@dataclass(frozen=True)
class Recogniser:
    """Finds one form of a kind of personal data."""

    kind: str
    find: Callable[[str], Iterable[Span]]
    """The places in a folded text where its form stands and its checks hold."""
    score: float
    """How sure a match is by itself, 0 to 1."""
    context: re.Pattern[str] | None = None
    """Words around it that make it as sure as `told`."""
    told: float = 0.95
    doubtful: bool = False
    """Whether words of another kind of number before it halve its score."""


@dataclass(frozen=True)
class Group:
    """Recognisers that are asked only where `gate` lets a folded text through."""

    gate: Callable[[str], object]
    recognisers: Sequence[Recogniser]


def words(*said: str) -> re.Pattern[str]:
    """A pattern for any of these words or phrases, in any case."""
    return re.compile(rf"\b(?:{'|'.join(said)})\b", re.IGNORECASE)


def matching(
    pattern: re.Pattern[str], accept: Callable[[str], str], *, number: bool = True
) -> Callable[[str], Iterator[Span]]:
    """Finds what a pattern matches and `accept` gives a value for ("": it is none).

    What it matches must stand by itself: no part of a word or, where it is a number, of a longer number. A
    pattern begins with a set of characters, and no assertion: that is what makes searching quick.
    """

    def find(text: str) -> Iterator[Span]:
        place = 0
        while found := pattern.search(text, place):
            start, end = found.span()
            value = accept(found[0]) if alone(text, start, end, number) else ""
            if value:
                yield start, end, value
            place = end if value else start + 1

    return find


def alone(text: str, start: int, end: int, number: bool) -> bool:
    """Whether a piece of text is no part of a longer word or number."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if _joins(before) or _joins(after):
        return False
    if not number:
        return True
    longer = before in JOINTS and text[start - 2 : start - 1].isdigit()
    return not longer and not (after in JOINTS and text[end + 1 : end + 2].isdigit())


def _joins(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def find(text: str, groups: Sequence[Group], least: Callable[[str], float]) -> list[Match]:
    """What is found in a text, in order; nothing overlaps. `least`: a kind's lowest score."""
    plain = folded(text)
    return apart(
        match
        for group in groups
        if group.gate(plain.text)
        for recogniser in group.recognisers
        for match in _matches(plain, recogniser)
        if match.score >= least(recogniser.kind)
    )


def _matches(plain: Folded, recogniser: Recogniser) -> Iterator[Match]:
    for start, end, value in recogniser.find(plain.text):
        score = _score(plain.text, start, end, recogniser)
        yield Match(*plain.span(start, end), recogniser.kind, score, value)


def _score(text: str, start: int, end: int, recogniser: Recogniser) -> float:
    around = text[max(0, start - BEFORE) : start] + " " + text[end : end + AFTER]
    if recogniser.context is not None and recogniser.context.search(around):
        return recogniser.told
    doubted = recogniser.doubtful and DOUBT.search(text[max(0, start - NEAR) : start])
    return recogniser.score / 2 if doubted else recogniser.score


def apart(found: Iterable[Match]) -> list[Match]:
    """Matches that do not overlap, in order: of two the surer, then the longer, then the earlier stays."""
    ranked = sorted(found, key=lambda one: (-one.score, one.start - one.end, one.start, one.kind, one.value))
    kept: list[Match] = []
    for one in ranked:
        place = bisect_left(kept, one)
        before, after = kept[max(0, place - 1) : place], kept[place : place + 1]
        if all(other.end <= one.start for other in before) and all(one.end <= other.start for other in after):
            kept.insert(place, one)
    return kept
