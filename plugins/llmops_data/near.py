"""Finds rows that say nearly the same.

MinHash and locality-sensitive hashing propose pairs in linear time; the pair's true Jaccard similarity
decides, so nothing is dropped by an estimate. The bands are chosen so that a pair exactly at the
threshold is proposed with at least the probability RECALL, and more similar ones with more.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llmops_core.step import StepRun
from llmops_data.buckets import (
    HALF,
    LOW,
    MOST_BUCKETS,
    Buckets,
    Numbers,
    Pairs,
    Which,
    buckets_for,
    by_digest,
)
from llmops_data.compared import compared
from llmops_data.config import Near
from llmops_data.digests import Copies
from llmops_data.linking import left, together
from llmops_data.rows import Outcome, Row
from llmops_data.sketches import Pieces, bands_for, ordered, pieces, plain, similarity, sketched

NEIGHBOURS = 32
"""Of a band that many rows share, each is compared with so many before it, and with so many of the first; and
no row with more once it resembles so many."""
REMEMBERED = 1 << 19
"""Pieces of texts that are kept while pairs are compared (4 MB)."""


def near(config: Near, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Drop each row that is nearly an earlier one that stayed, or only tell which belong together."""
    what = "near duplicates" if config.compare == "row" else "rows with nearly the same prompt"
    found = pairs(Texts(rows, config), config, run.scratch)
    return (left if config.action == "drop" else together)(found, rows, run, what)


class Texts(Iterable[str]):
    """What is compared of each row; remembers the pieces of the last ones asked for."""

    def __init__(self, rows: Sequence[Row], config: Near) -> None:
        self._rows, self._config = rows, config
        self._text = compared(rows, config.compare)
        self._pieces: OrderedDict[int, Pieces] = OrderedDict()
        self._remembered = 0
        self._room = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return map(self._text, self._rows)

    def pieces(self, place: int) -> Pieces:
        """The pieces of one row."""
        found = self._pieces.get(place)
        if found is not None:
            self._pieces.move_to_end(place)
            return found
        found = ordered(pieces(plain(self._text(self._rows[place])), self._config.shingle))
        self._pieces[place] = found
        self._remembered += len(found.ordered)
        while self._remembered > REMEMBERED and len(self._pieces) > 2:
            self._remembered -= len(self._pieces.popitem(last=False)[1].ordered)
        return found

    def similarity(self, first: int, second: int) -> float:
        """How much of two rows' pieces is the same."""
        one, other = self.pieces(first), self.pieces(second)
        size = len(one.ordered) + len(other.ordered)
        if size > len(self._room):
            self._room = np.empty(2 * size, np.uint64)
        return similarity(one, other, self._room[:size])


def pairs(texts: Texts, config: Near, folder: Path) -> Iterator[tuple[int, int, float]]:
    """Each pair of duplicates (first, second, similarity), first < second, in the order of the second.

    Of texts that are equal but for case, punctuation and spacing only the first is compared with others; the
    rest are paired with it. `folder` takes the sketches of all texts while they are compared.
    """
    bands, permutations = bands_for(config.threshold, config.permutations)
    # of a band as many buckets as leave all bands' within what a record can say
    count = min(buckets_for(len(texts)), 1 << (MOST_BUCKETS // bands).bit_length() - 1)
    with (
        Copies(folder, len(texts)) as copies,
        Buckets(folder, bands * count) as sketches,
        Pairs(folder, len(texts)) as proposed,
    ):
        place = 0
        for some in sketched(texts, config.shingle, permutations, bands):
            copies.add(some.digests)
            sketches.add(*_records(some.bands, place, count))
            place += len(some.bands)
        copies.find()
        for bucket in sketches:
            for firsts, seconds in _alike(bucket, copies.mask):
                proposed.add(firsts, seconds)
        yield from _compared(texts, config.threshold, copies, proposed)


def _records(bands: Numbers, place: int, count: int) -> tuple[Which, Numbers]:
    """The buckets of the bands of some texts, and what is kept there: half of a band and its text's place."""
    places = np.arange(place, place + len(bands), dtype=np.uint64)[:, None]
    number = np.arange(bands.shape[1], dtype=np.uint16)
    which = number * np.uint16(count) + by_digest(bands, count)
    return which.ravel(), (bands << HALF | places).ravel()


def _alike(bucket: Numbers, copies: NDArray[np.bool_]) -> Iterator[tuple[Numbers, Numbers]]:
    """The pairs (firsts, seconds) of distinct texts that share a band; all of them where few share it."""
    ranked = np.sort(bucket)
    distinct = ~copies[(ranked & LOW).astype(np.int64)]
    bands, places = ranked[distinct] >> HALF, ranked[distinct] & LOW
    for apart in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(bands[apart:] == bands[:-apart])
        if not len(same):
            return
        yield places[same], places[same + apart]
    yield from _crowded(bands, places)


def _crowded(bands: Numbers, places: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """In runs longer than NEIGHBOURS, each with the first ones of its run."""
    opens = np.flatnonzero(np.concatenate(([True], bands[1:] != bands[:-1]))).tolist()
    for start, end in pairwise([*opens, len(bands)]):
        for first in range(start, min(start + NEIGHBOURS, end - NEIGHBOURS)):
            rest = places[first + NEIGHBOURS + 1 : end]
            yield np.full(len(rest), places[first]), rest


def _compared(
    texts: Texts, threshold: float, copies: Copies, proposed: Pairs
) -> Iterator[tuple[int, int, float]]:
    """The proposed pairs that are true ones, and the copies, in the order of the second."""
    last, found = -1, 0
    for second, first in heapq.merge(copies, proposed):
        if copies.mask[second]:
            yield first, second, 1.0
            continue
        found = found if second == last else 0
        last = second
        if found < NEIGHBOURS:
            alike = texts.similarity(first, second)
            if alike >= threshold:
                found += 1
                yield first, second, alike
