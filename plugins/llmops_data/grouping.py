"""Groups of duplicates: whatever is linked, directly or through others, belongs together.

Rows are known by 64 bits of their origin's digest, so that millions of links are arrays of numbers; were two
of a hundred million linked rows taken for one (chance: one in a thousand), their groups would merge.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmops_data.buckets import Numbers
from llmops_data.rows import Link, Row

AT_ONCE = 1000

Places = NDArray[np.int32]
"""Places in Members.names."""


class Ties(NamedTuple):
    """The links of one step, by the names of their rows."""

    firsts: Numbers
    seconds: Numbers
    equal: NDArray[np.bool_]
    drops: bool
    """Whether a row was left out for one of them."""


class Members:
    """The rows that are linked at all, each once; 8 bytes a row."""

    def __init__(self, ties: Sequence[Ties]) -> None:
        none = np.empty(0, np.uint64)
        self.names: Numbers = np.unique(np.concatenate([none, *(one for tie in ties for one in tie[:2])]))

    def __len__(self) -> int:
        return len(self.names)

    def places(self, names: Numbers) -> Places:
        """The place of each name; -1 for one that is not linked."""
        found = np.searchsorted(self.names, names)
        inside = np.minimum(found, max(0, len(self) - 1))
        known = self.names[inside] == names if len(self) else np.zeros(len(names), bool)
        return np.where(known, found, -1).astype(np.int32)

    def located(self, rows: Iterable[Row]) -> Iterator[tuple[Row, int]]:
        """Each row with its place; -1 where it is not linked."""
        every = iter(rows)
        while some := list(islice(every, AT_ONCE)):
            yield from zip(some, self.places(_names(row.origin for row in some)).tolist(), strict=True)


def tied(links: Iterable[Link]) -> Ties:
    """Links as numbers, 17 bytes a link."""
    names, equal, drops = bytearray(), bytearray(), False
    for link in links:
        names += _name(link.first.origin) + _name(link.second.origin)
        equal.append(link.similarity == 1.0)
        drops = drops or link.dropped
    ends = np.frombuffer(names, np.uint64).reshape(-1, 2)
    return Ties(ends[:, 0], ends[:, 1], np.frombuffer(equal, bool), drops)


def _name(origin: str) -> bytes:
    return blake2b(origin.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _names(origins: Iterable[str]) -> Numbers:
    return np.frombuffer(b"".join(map(_name, origins)), np.uint64)


def joined(count: int, firsts: Places, seconds: Places) -> Places:
    """For each of so many members the number of its group: the lowest place of those that are joined."""
    group = np.arange(count, dtype=np.int32)
    while True:
        one, other = group[firsts], group[seconds]
        apart = one != other
        if not apart.any():
            return group
        # each group's number falls to that of a lower neighbour, and then to where that one fell
        np.minimum.at(group, np.maximum(one, other)[apart], np.minimum(one, other)[apart])
        while (group[group] != group).any():
            group = group[group]


def group_fingerprints(rows: Iterable[Row], links: Iterable[Link]) -> Iterator[str]:
    """For each row the fingerprint of its group's first row, which rows added later do not change.

    Links through rows that were dropped count too: two rows that resemble a third belong together.
    """
    ties = tied(links)
    members = Members([ties])
    groups = array("i", joined(len(members), members.places(ties.firsts), members.places(ties.seconds)))
    del ties
    seen, firsts = bytearray(len(members)), bytearray(32 * len(members))
    for row, place in members.located(rows):
        group = groups[place] if place >= 0 else -1
        if group >= 0 and seen[group]:
            yield firsts[32 * group : 32 * group + 32].hex()
            continue
        fingerprint = row.fingerprint
        if group >= 0:
            seen[group] = True
            firsts[32 * group : 32 * group + 32] = bytes.fromhex(fingerprint)
        yield fingerprint
