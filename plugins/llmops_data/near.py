"""Finds rows that say nearly the same.

MinHash and locality-sensitive hashing propose pairs in linear time; the pair's true Jaccard similarity
decides, so nothing is dropped by an estimate. The bands are chosen so that a pair exactly at the
threshold is proposed with at least the probability RECALL, and more similar ones with more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rensa import RMinHash, RMinHashLSH  # type: ignore[import-untyped]

from llmops_core.step import StepRun
from llmops_data.config import Near
from llmops_data.rows import Link, Outcome, Row

RECALL = 0.999
SEED = 42
WORDS = re.compile(r"[\W_]+")


def near(config: Near, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Drop each row that is nearly an earlier one that stayed, or only tell which belong together."""
    pieces = [shingles(row.text if config.compare == "row" else row.prompt, config.shingle) for row in rows]
    gone: set[int] = set()
    links: list[Link] = []
    together: set[int] = set()
    for first, second, similarity in pairs(pieces, config):
        # Equal shingles resemble the same earlier row, so the second goes even where the first has gone.
        dropped = config.action == "drop" and (first not in gone or similarity == 1.0)
        if dropped:
            gone.add(second)
        together.update((first, second))
        links.append(Link(rows[first], rows[second], round(similarity, 4), dropped))
    kept = [row for index, row in enumerate(rows) if index not in gone]
    what = "near duplicates" if config.compare == "row" else "rows with nearly the same prompt"
    if config.action == "drop":
        return Outcome(kept, f"{len(gone):,} {what} left out", links)
    return Outcome(kept, f"{len(together):,} {what} kept together", links)


def shingles(text: str, length: int) -> frozenset[str]:
    """The overlapping pieces of a text, blind to case, punctuation and spacing; never empty."""
    plain = WORDS.sub(" ", text.casefold()).strip() or text
    return frozenset(plain[start : start + length] for start in range(max(1, len(plain) - length + 1)))


def pairs(pieces: Sequence[frozenset[str]], config: Near) -> Iterator[tuple[int, int, float]]:
    """Each pair of duplicates (first, second, similarity), first < second, in the order of the second.

    Of texts with equal shingles only the first is compared with others; the rest are paired with it.
    """
    firsts: dict[frozenset[str], int] = {}
    for index, piece in enumerate(pieces):
        firsts.setdefault(piece, index)
    found: list[tuple[int, int, float]] = [
        (firsts[piece], index, 1.0) for index, piece in enumerate(pieces) if firsts[piece] != index
    ]
    distinct = list(firsts.items())
    for position, candidates in enumerate(_candidates([piece for piece, _ in distinct], config)):
        piece, second = distinct[position]
        for earlier in sorted({one for one in candidates if one < position}):
            other, first = distinct[earlier]
            similarity = len(piece & other) / len(piece | other)
            if similarity >= config.threshold:
                found.append((first, second, similarity))
    yield from sorted(found, key=lambda pair: (pair[1], pair[0]))


def _candidates(pieces: Sequence[frozenset[str]], config: Near) -> Sequence[Sequence[int]]:
    """For each text the positions of those that share a band with it."""
    bands, permutations = bands_for(config.threshold, config.permutations)
    # Sorted, so that the hash seed of this process cannot reach the result.
    hashes = RMinHash.from_token_sets([sorted(piece) for piece in pieces], permutations, SEED)
    index = RMinHashLSH(config.threshold, permutations, bands)
    index.insert_many(hashes)
    found: Sequence[Sequence[int]] = index.query_all(hashes)
    return found


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """The fewest bands that reach RECALL at the threshold, and the permutations they use up."""
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, bands * rows
    return permutations, permutations
