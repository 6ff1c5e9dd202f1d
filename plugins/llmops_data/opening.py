"""Opens files, compressed or not, and hands out their lines without ever holding a monstrous one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from llmops_core.errors import DataError

LONGEST_LINE = 50_000_000
"""Bytes; no row of training data is longer, and a few of them fit into memory."""
SUSPICIOUS = 200
"""Text shrinks 3 to 20 times; a file that grows more than this, beyond HARMLESS, is made to fill a disk."""
HARMLESS = 64_000_000
BLOCK = 1 << 20
OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".lzma": lzma.open}
DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


def bare(name: str) -> str:
    """A file's name without the ending of its compression."""
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in OPENERS else name


class Measured(io.RawIOBase):
    """What a compressed file expands to. Raises DataError once it grows beyond all measure."""

    def __init__(self, file: IO[bytes], packed: int, title: str) -> None:
        self._file = file
        self._most = max(HARMLESS, packed * SUSPICIOUS)
        self._title = title
        self._read = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some; see io.RawIOBase."""
        block = self._file.read(min(len(buffer), BLOCK))
        self._read += len(block)
        if self._read > self._most:
            raise DataError(
                f"it expands to more than {SUSPICIOUS} times its size: a zip bomb?",
                where=self._title,
                remedy="If it is what it should be, expand it yourself and name the result.",
            )
        buffer[: len(block)] = block
        return len(block)


@contextmanager
def opened(path: Path, title: str) -> Iterator[IO[bytes]]:
    """A file's bytes, expanded. Raises DataError when it is damaged or expands beyond all measure."""
    opener = OPENERS.get(path.suffix.lower())
    try:
        if opener is None:
            with path.open("rb") as file:
                yield file
        else:
            with opener(path, "rb") as packed, Measured(packed, path.stat().st_size, title) as measured:
                yield io.BufferedReader(measured, BLOCK)
    except DAMAGED as error:
        raise DataError(
            f"it is damaged: {error}", where=title, remedy="Compress or download it again."
        ) from error


def lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Each line's number and bytes; None for one longer than LONGEST_LINE, of which nothing is kept."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) <= LONGEST_LINE:
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(BLOCK)
        yield number, None
