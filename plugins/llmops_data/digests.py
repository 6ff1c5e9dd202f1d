"""Which of many texts are equal, by their 128-bit digests 16 bytes a text, whatever its length."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


def digests_of(texts: Iterable[bytes]) -> NDArray[np.uint64]:
    """One row of two numbers a text."""
    kept = bytearray()
    for text in texts:
        kept += blake2b(text, digest_size=16).digest()
    return np.frombuffer(bytes(kept), np.uint64).reshape(-1, 2)


def firsts(digests: NDArray[np.uint64]) -> Places:
    """For each text the place of the first that is equal to it: its own, where it is the first."""
    count = len(digests)
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ranked = digests[order]
    opens = np.ones(count, dtype=bool)
    opens[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    # lexsort is stable: the first of a run is the earliest
    starts = np.maximum.accumulate(np.where(opens, np.arange(count), 0))
    found = np.empty(count, dtype=np.int64)
    found[order] = order[starts]
    return found
