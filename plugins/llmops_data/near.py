"""Finds rows that say nearly the same.

MinHash and locality-sensitive hashing propose pairs in linear time; the pair's true Jaccard similarity
decides, so nothing is dropped by an estimate. The bands are chosen so that a pair exactly at the
threshold is proposed with at least the probability RECALL, and more similar ones with more.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from llmops_core.step import StepRun
from llmops_data.config import Near
from llmops_data.digests import Places, firsts
from llmops_data.rows import Chosen, Links, Outcome, Row
from llmops_data.sketches import Numbers, bands_for, distinct, pieces, plain, similarity, sketched

NEIGHBOURS = 32
"""Of a band that many rows share, each is compared with so many before it, and with so many of the first; and
no row with more once it resembles so many."""
REMEMBERED = 512
"""Texts whose pieces are kept while pairs are compared."""


def near(config: Near, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Drop each row that is nearly an earlier one that stayed, or only tell which belong together."""
    gone: set[int] = set()
    together: set[int] = set()
    links = Links(rows)
    for first, second, alike in pairs(Texts(rows, config), config, run.scratch):
        # Equal shingles resemble the same earlier row, so the second goes even where the first has gone.
        dropped = config.action == "drop" and (first not in gone or alike == 1.0)
        if dropped:
            gone.add(second)
        together.update((first, second))
        links.add(first, second, round(alike, 4), dropped)
    what = "near duplicates" if config.compare == "row" else "rows with nearly the same prompt"
    if config.action == "group":
        return Outcome(rows, f"{len(together):,} {what} kept together", links)
    kept = [place for place in range(len(rows)) if place not in gone]
    return Outcome(Chosen(rows, kept), f"{len(gone):,} {what} left out", links)


class Texts(Iterable[str]):
    """What is compared of each row; remembers the pieces of the last ones asked for."""

    def __init__(self, rows: Sequence[Row], config: Near) -> None:
        self._rows, self._config = rows, config
        self._pieces: OrderedDict[int, Numbers] = OrderedDict()

    def __iter__(self) -> Iterator[str]:
        return map(self._text, self._rows)

    def _text(self, row: Row) -> str:
        return row.text if self._config.compare == "row" else row.prompt

    def pieces(self, place: int) -> Numbers:
        """The distinct pieces of one row, sorted."""
        found = self._pieces.get(place)
        if found is None:
            found = distinct(pieces(plain(self._text(self._rows[place])), self._config.shingle))
            self._pieces[place] = found
            if len(self._pieces) > REMEMBERED:
                self._pieces.popitem(last=False)
        else:
            self._pieces.move_to_end(place)
        return found


def pairs(texts: Texts, config: Near, folder: Path) -> Iterator[tuple[int, int, float]]:
    """Each pair of duplicates (first, second, similarity), first < second, in the order of the second.

    Of texts that are equal but for case, punctuation and spacing only the first is compared with others; the
    rest are paired with it. `folder` takes the sketches of all texts while they are compared.
    """
    bands, permutations = bands_for(config.threshold, config.permutations)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        kept, count = [], 0
        for some in sketched(texts, config.shingle, permutations, bands):
            kept.append(some.digests)
            # a band after the other, so that each lies together when it is sorted
            file.write(some.bands.T.tobytes())
            count += len(some.digests)
        if not count:
            return
        sizes = [len(one) for one in kept]
        first = firsts(np.concatenate(kept))
        proposed = np.empty((0, 2), np.int64)
        for number in range(bands):
            proposed = _in_order([proposed, _alike(_band(file, sizes, bands, number), first)])
    copies = np.flatnonzero(first != np.arange(count))
    yield from _compared(texts, config, first, copies, proposed)


def _band(file: IO[bytes], sizes: Sequence[int], bands: int, number: int) -> Numbers:
    """One band of all texts, read from where each batch of texts keeps it."""
    found, start = [], 0
    for size in sizes:
        file.seek((start + number * size) * 8)
        found.append(np.frombuffer(file.read(size * 8), np.uint64))
        start += bands * size
    return np.concatenate(found)


def _alike(band: Numbers, first: Places) -> NDArray[np.int64]:
    """The pairs (second, first) of distinct texts that share a band; all of them where few share it."""
    places = np.flatnonzero(first == np.arange(len(first)))
    order = places[np.argsort(band[places], kind="stable")]
    ranked = band[order]
    found = []
    for apart in range(1, NEIGHBOURS + 1):
        same = ranked[apart:] == ranked[:-apart]
        if not same.any():
            break
        found.append(np.stack((order[apart:][same], order[:-apart][same]), axis=1))
    else:
        found.append(_crowded(order, ranked))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def _crowded(order: Places, ranked: Numbers) -> NDArray[np.int64]:
    """In runs longer than NEIGHBOURS, each with the first ones of its run."""
    opens = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    ends = np.append(opens[1:], len(ranked))
    found = []
    for start, end in zip(opens, ends, strict=True):
        for first in range(start, min(start + NEIGHBOURS, end - NEIGHBOURS)):
            rest = order[first + NEIGHBOURS + 1 : end]
            found.append(np.stack((rest, np.full(len(rest), order[first])), axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def _in_order(proposed: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Each pair once, in the order of the second and then of the first."""
    every = np.concatenate(proposed)
    if not len(every):
        return every
    every = every[np.lexsort((every[:, 1], every[:, 0]))]
    return every[np.concatenate(([True], (every[1:] != every[:-1]).any(axis=1)))]


def _compared(
    texts: Texts, config: Near, first: Places, copies: Places, proposed: NDArray[np.int64]
) -> Iterator[tuple[int, int, float]]:
    """The proposed pairs that are true ones, and the copies, in the order of the second."""
    waiting = iter(copies)
    copy = next(waiting, None)
    last, found = -1, 0
    for second, earlier in proposed.tolist():
        found = found if second == last else 0
        last = second
        if found >= NEIGHBOURS:
            continue
        while copy is not None and copy < second:
            yield int(first[copy]), int(copy), 1.0
            copy = next(waiting, None)
        alike = similarity(texts.pieces(earlier), texts.pieces(second))
        if alike >= config.threshold:
            found += 1
            yield earlier, second, alike
    while copy is not None:
        yield int(first[copy]), int(copy), 1.0
        copy = next(waiting, None)
