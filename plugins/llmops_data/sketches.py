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

from llmops_data.buckets import HALF, Numbers

RECALL = 0.999
SEED = 42
AT_ONCE = 1 << 17
"""Pieces whose MinHash is taken together: 1 MB, which stays in the cache."""
NO_LETTERS = re.compile(r"[\W_]+")
BLANK = 32
BLANKED = bytes(ord(chr(code).lower()) if chr(code).isalnum() else BLANK for code in range(128)) + bytes(128)
SPREAD = np.uint64(0x9E3779B97F4A7C15)
LARGE_BASE = np.uint64(0xD6E8FEB86659FD93)
PACKED = 8
MASKS = [np.uint64(256**length - 1) for length in range(PACKED + 1)]


class Sketches(NamedTuple):
    """What is known of each text: its digest (two numbers), and the number of each band."""

    digests: Numbers
    bands: Numbers


class Pieces(NamedTuple):
    """The pieces of one text in order, and how many of them are distinct."""

    ordered: Numbers
    distinct: int


def plain(text: str) -> bytes | str:
    """A text blind to case, punctuation and spacing; never empty unless it is. Bytes where it is ASCII."""
    if not text.isascii():
        return NO_LETTERS.sub(" ", text.casefold()).strip() or text
    bare = text.encode().translate(BLANKED)
    letters = np.frombuffer(bare, np.uint8)
    blank = letters == BLANK
    again = blank[1:] & blank[:-1]
    if np.count_nonzero(again):
        bare = bare[:1] + letters[1:][~again].tobytes()
    return bare.strip() or text.encode()


def count_of(text: bytes | str, length: int) -> int:
    """How many pieces a plain text has: one at least."""
    return max(1, len(text) - length + 1)


def pieces(text: bytes | str, length: int, out: Numbers | None = None) -> Numbers:
    """The overlapping pieces of a plain text, each as a number; not each once. `out` is room for them."""
    if out is None:
        out = np.empty(count_of(text, length), np.uint64)
    if isinstance(text, str):
        out[:] = _windows(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32), length)
        return out
    if len(text) < PACKED or length > PACKED:
        out[:] = _windows(np.frombuffer(text, np.uint8), length)
        return out
    # eight letters from each place on at once, and those beyond the piece masked away
    letters = text + b"\0" * (PACKED - length)
    windows: Numbers = np.ndarray((len(out),), "<u8", letters, strides=(1,))
    return np.bitwise_and(windows, MASKS[length], out=out)


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
    room = np.empty(AT_ONCE, np.uint64)
    digests, ends = bytearray(), [0]

    def taken() -> Sketches:
        hashes = minhashes(room[: ends[-1]], np.array(ends, np.uint64), permutations)
        return Sketches(
            np.frombuffer(bytes(digests), np.uint64).reshape(-1, 2), banded(hashes, mixing, bands)
        )

    for text in texts:
        bare = plain(text)
        count = count_of(bare, length)
        if digests and ends[-1] + count > len(room):
            yield taken()
            digests, ends = bytearray(), [0]
        if count > len(room):
            room = np.empty(count, np.uint64)
        said = bare if isinstance(bare, bytes) else bare.encode("utf-8", "surrogatepass")
        digests += blake2b(said, digest_size=16).digest()
        pieces(bare, length, room[ends[-1] : ends[-1] + count])
        ends.append(ends[-1] + count)
    if digests:
        yield taken()


def minhashes(found: Numbers, ends: Numbers, permutations: int) -> Numbers:
    """The MinHash of each text's pieces, a row each; a text's are those up to its end."""
    flat: Any = found
    made = RMinHash.digest_matrix_from_flat_token_hashes(flat, ends, permutations, SEED)
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


def ordered(found: Numbers) -> Pieces:
    """Pieces in order."""
    found.sort()
    return Pieces(found, _distinct(found))


def similarity(one: Pieces, other: Pieces, room: Numbers | None = None) -> float:
    """The Jaccard similarity of two texts' pieces. `room` is for as many numbers as both have."""
    both = np.concatenate((one.ordered, other.ordered), out=room)
    both.sort(kind="stable")  # which merges two sorted runs
    union = _distinct(both)
    return (one.distinct + other.distinct - union) / union


def _distinct(found: Numbers) -> int:
    return 1 + int(np.count_nonzero(found[1:] != found[:-1]))
