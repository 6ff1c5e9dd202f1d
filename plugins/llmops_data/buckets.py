"""Numbers that do not fit into memory: dealt out to buckets in a temporary file, read back bucket by bucket.

What belongs together has to fall into one bucket: equal digests by their first bits, pairs by their second
row. Memory is then bounded by a bucket, whatever the number of rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
Which = NDArray[np.uint16]
"""The bucket of each record."""

WAITING = 1 << 17
"""Numbers that wait in memory until they are written (1 MB)."""
IN_BUCKET = 1 << 17
"""Numbers in one bucket, where they fall evenly."""
MOST_BUCKETS = 1 << 15
HALF = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)


class Buckets:
    """Records of some numbers each, in a temporary file of a folder; use it as a context."""

    def __init__(self, folder: Path, count: int, columns: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed with the context)
        self._count, self._columns = count, columns
        self._waiting: list[tuple[Which, Numbers]] = []
        self._size = 0
        self._places: list[int] = []

    def add(self, which: Which, records: Numbers) -> None:
        """Put each record (a number, or a row of as many as there are columns) into its bucket."""
        if not records.size:
            return
        self._waiting.append((which, records))
        self._size += records.size
        if self._size >= WAITING:
            self._write()

    def _write(self) -> None:
        """Write what waits, bucket by bucket, behind where each bucket begins."""
        if not self._waiting:
            return
        which = np.concatenate([one for one, _ in self._waiting])
        records = np.concatenate([one for _, one in self._waiting])
        self._waiting, self._size = [], 0
        starts = np.zeros(self._count + 1, np.uint32)
        np.cumsum(np.bincount(which, minlength=self._count), out=starts[1:])
        self._places.append(self._file.seek(0, 2))
        self._file.write(starts)
        self._file.write(records[np.argsort(which, kind="stable")])

    def __iter__(self) -> Iterator[Numbers]:
        """Each bucket's records, in the order in which they were added."""
        self._write()
        for number in range(self._count):
            found = b"".join(self._part(place, number) for place in self._places)
            records = np.frombuffer(found, np.uint64)
            yield records if self._columns == 1 else records.reshape(-1, self._columns)

    def _part(self, place: int, number: int) -> bytes:
        self._file.seek(place + 4 * number)
        start, end = np.frombuffer(self._file.read(8), np.uint32).tolist()
        if start == end:
            return b""
        self._file.seek(place + 4 * (self._count + 1) + start * 8 * self._columns)
        return self._file.read((end - start) * 8 * self._columns)

    def __enter__(self) -> Buckets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class Pairs:
    """Pairs of rows out of so many, kept on disk and given back in order, each once; use it as a context."""

    def __init__(self, folder: Path, rows: int) -> None:
        # of a row there may be several pairs, each found several times
        self._count = buckets_for(8 * rows)
        self._buckets = Buckets(folder, self._count)
        self._rows = max(1, rows)

    def add(self, firsts: Numbers, seconds: Numbers) -> None:
        """Keep pairs; a second is the later row. Rows are counted from 0 and fewer than 2**32."""
        which = seconds * np.uint64(self._count) // np.uint64(self._rows)
        self._buckets.add(which.astype(np.uint16), seconds << HALF | firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Each (second, first), in the order of the second and then of the first."""
        for found in self._buckets:
            each = np.unique(found)
            yield from zip((each >> HALF).tolist(), (each & LOW).tolist(), strict=True)

    def __enter__(self) -> Pairs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._buckets.__exit__(kind, error, trace)


def buckets_for(numbers: int) -> int:
    """How many buckets so many numbers need: a power of two, since a digest's first bits choose."""
    needed = max(1, -(-numbers // IN_BUCKET))
    return min(1 << (needed - 1).bit_length(), MOST_BUCKETS)


def by_digest(digests: Numbers, count: int) -> Which:
    """The bucket of each digest out of so many: equal ones fall together."""
    bits = count.bit_length() - 1
    return (digests >> np.uint64(64 - bits)).astype(np.uint16) if bits else np.zeros(digests.shape, np.uint16)
