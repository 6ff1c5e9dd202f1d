"""Vectors on disk: those of a dataset's rows in order, and those of all texts a model has seen in a store."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from llmops_core.files import write_json
from llmops_core.keys import digest
from llmops_core.store import Store

Vectors = NDArray[np.float32]
AT_ONCE = 2048
ASKED = 500
"""Texts asked for at once: SQLite takes a thousand."""
PATIENCE = 60.0
"""Seconds that another run on the same store may take to write."""


class Rows:
    """As many vectors as are added, in a temporary file of a folder; use it as a context."""

    def __init__(self, folder: Path, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed with the context)
        self.width = width
        self._count = 0

    def add(self, vectors: Vectors) -> None:
        """Add some at the end."""
        self._file.write(vectors.tobytes())
        self._count += len(vectors)

    def __len__(self) -> int:
        return self._count

    def read(self, start: int, end: int) -> Vectors:
        """Those from one place up to another."""
        self._file.flush()
        wide = 4 * self.width
        found = os.pread(self._file.fileno(), (end - start) * wide, start * wide)
        return np.frombuffer(found, np.float32).reshape(-1, self.width)

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def embedded(
    texts: Iterable[str], rows: Rows, embed: Callable[[Sequence[str]], Vectors], kept: sqlite3.Connection
) -> Iterator[int]:
    """Add each text's vector to `rows`: the one kept, else a new one, then kept. Gives how many are done."""
    every = iter(texts)
    while some := list(islice(every, AT_ONCE)):
        names = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in some]
        found = dict(_known(kept, names))
        new = {name: text for name, text in zip(names, some, strict=True) if name not in found}
        if new:
            made = embed(list(new.values()))
            fresh = {name: vector.tobytes() for name, vector in zip(new, made, strict=True)}
            with kept:
                kept.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", fresh.items())
            found |= fresh
        block = b"".join(found[name] for name in names)
        rows.add(np.frombuffer(block, np.float32).reshape(-1, rows.width))
        yield len(rows)


def _known(kept: sqlite3.Connection, names: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for start in range(0, len(names), ASKED):
        some = names[start : start + ASKED]
        marks = ",".join("?" * len(some))
        yield from kept.execute(f"SELECT name, vector FROM vectors WHERE name IN ({marks})", some)


@contextmanager
def kept_vectors(state: Path, document: Mapping[str, object]) -> Iterator[sqlite3.Connection]:
    """The vectors that a model (all that decides them is in `document`) has made for runs on this store."""
    folder = Store(state).root / "cache" / "embeddings" / digest(dict(document))
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "entry.json", dict(document))  # whose time says when it was last of use
    with closing(sqlite3.connect(folder / "vectors.sqlite", timeout=PATIENCE)) as kept:
        kept.execute("CREATE TABLE IF NOT EXISTS vectors (name BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        yield kept
