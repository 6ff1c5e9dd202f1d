"""From texts to what is compared: the overlapping pieces of a text as numbers, and their MinHash in bands.

All of it is native code on arrays: cutting a text into pieces is one pass of NumPy over its letters, the
MinHash is rensa's. A piece of up to eight letters of ASCII is its own number, exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash  # type: ignore[import-untyped]

RECALL = 0.999
SEED = 42
AT_ONCE = 1 << 17
"""Pieces whose MinHash is taken together: 1 MB, which stays in the cache."""
NO_LETTERS = re.compile(r"[\W_]+")
BLANKED = bytes(ord(chr(code).lower()) if chr(code).isalnum() else 32 for code in range(128)) + bytes(128)
SPREAD = np.uint64(0x9E3779B97F4A7C15)
LARGE_BASE = np.uint64(0xD6E8FEB86659FD93)
PACKED = 8
HALF = np.uint64(32)

Numbers = NDArray[np.uint64]


class Sketches(NamedTuple):
    """What is known of each text: its digest (two numbers), and the number of each band."""

    digests: Numbers
    bands: Numbers


def plain(text: str) -> bytes | str:
    """A text blind to case, punctuation and spacing; never empty unless it is. Bytes where it is ASCII."""
    if not text.isascii():
        return NO_LETTERS.sub(" ", text.casefold()).strip() or text
    bare = text.encode().translate(BLANKED)
    if b"  " in bare or bare[:1] == b" " or bare[-1:] == b" ":
        bare = b" ".join(bare.split())
    return bare or text.encode()


def pieces(text: bytes | str, length: int) -> Numbers:
    """The overlapping pieces of a plain text, each as a number; one at least. Not each once."""
    if isinstance(text, str):
        return _windows(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), length)
    if len(text) < PACKED or length > PACKED:
        return _windows(np.frombuffer(text, np.uint8), length)
    # eight letters from each place on at once, and those beyond the piece masked away
    letters = text + b"\0" * (PACKED - length)
    windows: Numbers = np.ndarray((len(text) - length + 1,), "<u8", letters, strides=(1,))
    return windows & np.uint64(256**length - 1)


def _windows(codes: NDArray[np.unsignedinteger[Any]], length: int) -> Numbers:
    """Like packing bytes where every code is one; other codes are spread over all 64 bits first."""
    letters = codes.astype(np.uint64)
    wide = letters > 127
    letters[wide] = letters[wide] * LARGE_BASE ^ (letters[wide] * SPREAD >> HALF)
    base = np.uint64(256) if length <= PACKED else LARGE_BASE
    length = min(length, max(1, len(letters)))
    found = np.zeros(max(1, len(letters) - length + 1), np.uint64)
    for place in reversed(range(length)):
        found = found * base + letters[place : place + len(found)] if len(letters) else found
    return found


def sketched(texts: Iterable[str], length: int, permutations: int, bands: int) -> Iterator[Sketches]:
    """The sketches of many texts, some hundreds or thousands at a time, in order."""
    mixing = np.random.default_rng(SEED).integers(0, 1 << 63, permutations, np.uint64) * np.uint64(
        2
    ) + np.uint64(1)
    digests, waiting, size = bytearray(), [], 0
    for text in texts:
        bare = plain(text)
        said = bare if isinstance(bare, bytes) else bare.encode("utf-8", "surrogatepass")
        digests += blake2b(said, digest_size=16).digest()
        waiting.append(pieces(bare, length))
        size += len(waiting[-1])
        if size >= AT_ONCE:
            yield Sketches(_numbers(digests), banded(minhashes(waiting, permutations), mixing, bands))
            digests, waiting, size = bytearray(), [], 0
    if waiting:
        yield Sketches(_numbers(digests), banded(minhashes(waiting, permutations), mixing, bands))


def _numbers(digests: bytearray) -> Numbers:
    return np.frombuffer(bytes(digests), np.uint64).reshape(-1, 2)


def minhashes(texts: list[Numbers], permutations: int) -> Numbers:
    """The MinHash of each text's pieces, a row each."""
    offsets = np.zeros(len(texts) + 1, np.uint64)
    np.cumsum([len(one) for one in texts], out=offsets[1:])
    flat: Any = np.concatenate(texts)
    made = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, permutations, SEED)
    return np.array(made.to_rows(), dtype=np.uint64)


def banded(hashes: Numbers, mixing: Numbers, bands: int) -> Numbers:
    """Each row of hashes as one number a band: equal where all hashes of the band are."""
    mixed: Numbers = (hashes * mixing).reshape(len(hashes), bands, -1).sum(axis=2, dtype=np.uint64)
    return mixed ^ (mixed >> HALF)


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """The fewest bands that reach RECALL at the threshold, and the permutations they use up."""
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, bands * rows
    return permutations, permutations


def similarity(one: Numbers, other: Numbers) -> float:
    """The Jaccard similarity of two texts' pieces, each sorted and without repetitions."""
    both = np.concatenate((one, other))
    both.sort(kind="stable")  # which merges two sorted runs
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)


def distinct(found: Numbers) -> Numbers:
    """The pieces sorted, each once."""
    found.sort()
    return found[np.concatenate(([True], found[1:] != found[:-1]))]
