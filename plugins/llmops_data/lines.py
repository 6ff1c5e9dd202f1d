"""The rows of a dataset as they are written, one JSON object a line, with what tells them apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmops_core.artifacts import Dataset

Numbers = NDArray[np.uint64]
ANSWERS = ("completion", "answer", "chosen", "rejected", "text")
"""What of a row is not what is asked."""
BESIDE = ("origin", "facts")
"""What of a row is about it rather than in it."""


class Identities(NamedTuple):
    """Of each row a number for what it says, and for what it asks; and its split's place."""

    rows: Numbers
    prompts: Numbers
    splits: NDArray[np.uint8]


def every(dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    """Each row's split and line."""
    for split in dataset.rows:
        path = dataset.path(split)
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    yield split, line


def identities(dataset: Dataset) -> Identities:
    """What tells the rows apart, 17 bytes a row."""
    names = list(dataset.rows)
    rows, prompts, splits = bytearray(), bytearray(), bytearray()
    for split, line in every(dataset):
        row = json.loads(line)
        rows += short_digest(said(row))
        prompts += short_digest(asked(row))
        splits.append(names.index(split))
    return Identities(
        np.frombuffer(bytes(rows), np.uint64),
        np.frombuffer(bytes(prompts), np.uint64),
        np.frombuffer(bytes(splits), np.uint8),
    )


def short_digest(value: Any) -> bytes:
    """Eight bytes that stand for a JSON value."""
    return blake2b(json.dumps(value).encode(), digest_size=8).digest()


def said(row: Any) -> Any:
    """All of a row but what is about it."""
    if not isinstance(row, Mapping):
        return row
    return {name: value for name, value in row.items() if name not in BESIDE}


def asked(row: Mapping[str, Any]) -> Any:
    """What is asked in a row: all but its answer; of a text, where it was read."""
    if isinstance(row.get("messages"), list):
        return row["messages"][:-1]
    known = {name: value for name, value in said(row).items() if name not in (*ANSWERS, "title")}
    return known or row.get("origin", "")


def texts(row: Any) -> Iterator[str]:
    """Every text in a row."""
    if isinstance(row, str):
        yield row
    elif isinstance(row, Mapping):
        for name, value in row.items():
            if name not in ("role", *BESIDE):
                yield from texts(value)
    elif isinstance(row, list):
        for value in row:
            yield from texts(value)
