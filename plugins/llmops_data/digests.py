"""Which of many texts are equal, by their 128-bit digests, which lie on disk while they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from llmops_data.buckets import Buckets, Numbers, Pairs, buckets_for, by_digest

AT_ONCE = 4096


class Copies:
    """Which of so many texts are equal to an earlier one; use it as a context.

    `mask`, a byte a text, is right after `find`; then it gives each copy with the first text that it equals,
    (copy, first), in the order of the copies.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.mask: NDArray[np.bool_] = np.zeros(count, bool)
        self._count = buckets_for(3 * count)
        self._digests = Buckets(folder, self._count, 3)
        self._pairs = Pairs(folder, count)
        self._added = 0

    def add(self, digests: Numbers) -> None:
        """Take up the next texts, by a digest (a row of two numbers) each."""
        places = np.arange(self._added, self._added + len(digests), dtype=np.uint64)
        self._added += len(digests)
        self._digests.add(by_digest(digests[:, 0], self._count), np.column_stack((digests, places)))

    def find(self) -> None:
        """Find the copies among the texts taken up."""
        for found in self._digests:
            if not len(found):
                continue
            # in the order they were added: the first of a run is the earliest
            ranked = found[np.lexsort((found[:, 1], found[:, 0]))]
            same = (ranked[1:, :2] == ranked[:-1, :2]).all(axis=1)
            opens = np.flatnonzero(np.concatenate(([True], ~same)))
            firsts = np.repeat(ranked[opens, 2], np.diff(opens, append=len(ranked)))
            copies = np.flatnonzero(same) + 1
            seconds = ranked[copies, 2]
            self.mask[seconds.astype(np.int64)] = True
            self._pairs.add(firsts[copies], seconds)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._pairs)

    def __enter__(self) -> Copies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._digests.__exit__(kind, error, trace)
        self._pairs.__exit__(kind, error, trace)


def digests_of(texts: Iterable[bytes]) -> Iterator[Numbers]:
    """Each text's digest as a row of two numbers, some thousand at a time."""
    every = iter(texts)
    while some := b"".join(blake2b(text, digest_size=16).digest() for text in islice(every, AT_ONCE)):
        yield np.frombuffer(some, np.uint64).reshape(-1, 2)
