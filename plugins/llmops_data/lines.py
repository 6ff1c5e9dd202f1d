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


class Identities(NamedTuple):
    """What each row of a dataset is (a number), what it asks (a number), and its split's place."""

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
        rows += blake2b(line.strip(), digest_size=8).digest()
        prompts += blake2b(asked(json.loads(line)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        splits.append(names.index(split))
    return Identities(
        np.frombuffer(bytes(rows), np.uint64),
        np.frombuffer(bytes(prompts), np.uint64),
        np.frombuffer(bytes(splits), np.uint8),
    )


def asked(row: Mapping[str, Any]) -> str:
    """All of a row but its answer; of a text, its title and place."""
    if "messages" in row:
        return json.dumps(row["messages"][:-1])
    return json.dumps({name: value for name, value in row.items() if name not in ANSWERS})


def texts(row: Any) -> Iterator[str]:
    """Every text in a row."""
    if isinstance(row, str):
        yield row
    elif isinstance(row, Mapping):
        for name, value in row.items():
            if name not in ("role", "origin"):
                yield from texts(value)
    elif isinstance(row, list):
        for value in row:
            yield from texts(value)
