"""What of a row is compared with other rows: what is said in it, but for instructions that many share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Literal

import numpy as np

from llmops_data.rows import Row

COMMON = 10
"""Rows from which on a text says nothing about one of them."""
DIGEST = 8


def compared(rows: Iterable[Row], what: Literal["row", "prompt"]) -> Callable[[Row], str]:
    """Gives what is compared of each of some rows: all that was said, or all before the last answer.

    A system message that COMMON rows share is left out, unless hardly anything would stay: a long one would
    make all rows alike.
    """
    shared = _shared(rows)

    def text(row: Row) -> str:
        left = _without(row, shared) if shared else row
        return left.text if what == "row" else left.prompt

    return text


def _shared(rows: Iterable[Row]) -> frozenset[bytes]:
    """The digests of the system messages that many rows have; 8 bytes a row while they are counted."""
    digests = bytearray()
    for row in rows:
        for message in row.messages:
            if message.role == "system":
                digests += _digest(message.content)
    found, counts = np.unique(np.frombuffer(digests, np.uint64), return_counts=True)
    return frozenset(one.tobytes() for one in found[counts >= COMMON])


def _without(row: Row, shared: frozenset[bytes]) -> Row:
    left = tuple(one for one in row.messages if one.role != "system" or _digest(one.content) not in shared)
    # of an instruction and its answer the instruction is the prompt
    return dataclasses.replace(row, messages=left) if len(left) > 1 else row


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()
