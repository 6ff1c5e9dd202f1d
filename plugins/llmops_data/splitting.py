"""Deals rows out to splits; no group of duplicates is torn, however it is done.

By hash (the usual way) a group's split depends on its first row alone: more rows move no old ones. By time
the newest rows are the test's. Stratified, each value of a fact has its share in every split.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmops_core.errors import DataError
from llmops_data.config import Split, Splits
from llmops_data.grouping import group_fingerprints
from llmops_data.rows import Link, Row

Places = NDArray[np.int64]

NAMES = ("train", "validation", "test")
LEFT_OUT = 255
"""Stands for no split: of a row over its split's max_rows."""


def deal(config: Splits, rows: Sequence[Row], links: Iterable[Link]) -> bytearray:
    """For each row its split's place in NAMES, or LEFT_OUT. Raises DataError for facts that are missing."""
    groups = group_fingerprints(rows, links)
    if config.by == "time":
        dealt = _by_time(config, rows, groups)
    elif config.stratify:
        dealt = _stratified(config, rows, groups)
    else:
        dealt = bytearray(NAMES.index(split_of(config, group)) for group in groups)
    for number, name in enumerate(NAMES):
        limit = getattr(config, name).max_rows
        if limit is not None and dealt.count(number) > limit:
            _cap(config, rows, dealt, number)
    return dealt


def split_of(config: Splits, fingerprint: str) -> str:
    """The split that a fingerprint falls into; test first: its rows stay when others' shares change."""
    shares = shares_of(config)
    place = chance(f"{config.seed} split {fingerprint}")
    if place < shares["test"]:
        return "test"
    return "validation" if place < shares["test"] + shares["validation"] else "train"


def shares_of(config: Splits) -> Mapping[str, float]:
    """Each split's share, summing to 1."""
    total = config.train.share + config.validation.share + config.test.share
    return {name: getattr(config, name).share / total for name in NAMES}


def _cap(config: Splits, rows: Iterable[Row], dealt: bytearray, number: int) -> None:
    """Leave at most the split's `max_rows`, chosen by hash, so that the same rows are chosen among more."""
    split: Split = getattr(config, NAMES[number])
    chances = array(
        "d",
        (
            chance(f"{config.seed} cap {row.fingerprint}")
            for row, one in zip(rows, dealt, strict=True)
            if one == number
        ),
    )
    splits = np.frombuffer(dealt, np.uint8)
    places = np.flatnonzero(splits == number)
    splits[places[np.argsort(chances, kind="stable")[split.max_rows or 0 :]]] = LEFT_OUT


def _by_time(config: Splits, rows: Iterable[Row], groups: Iterable[str]) -> bytearray:
    """A group is as old as its newest row, so that training sees nothing of the test's time."""
    names, times = array("Q"), array("d")
    for row, group in zip(rows, groups, strict=True):
        times.append(time_of(row, config.time))
        names.append(_number(group))
    every, _, member, counts = _groups(names)
    newest = np.full(len(every), -np.inf)
    np.maximum.at(newest, member, np.frombuffer(times))
    order = np.lexsort((every, newest))
    return _dealt(config, member, counts, [(order, ("train", "validation", "test"))])


def _stratified(config: Splits, rows: Iterable[Row], groups: Iterable[str]) -> bytearray:
    """A group belongs to the stratum of its first row."""
    strata: dict[str, int] = {}
    names, kinds, chances = array("Q"), array("i"), array("d")
    for row, group in zip(rows, groups, strict=True):
        if config.stratify not in row.facts:
            raise _missing(row, config.stratify)
        kinds.append(strata.setdefault(str(row.facts[config.stratify]), len(strata)))
        chances.append(chance(f"{config.seed} split {group}"))
        names.append(_number(group))
    _, first, member, counts = _groups(names)
    kind, luck = np.frombuffer(kinds, np.int32)[first], np.frombuffer(chances)[first]
    order = np.lexsort((luck, kind))
    parts = np.split(order, np.flatnonzero(np.diff(kind[order])) + 1)
    return _dealt(config, member, counts, [(part, ("test", "validation", "train")) for part in parts])


def _number(fingerprint: str) -> int:
    """Its first 64 bits, which order as it does."""
    return int(fingerprint[:16], 16)


def _groups(names: array[int]) -> tuple[Any, Any, Any, Any]:
    """The groups' names in order, each one's first row, each row's group, and how many rows each has."""
    return np.unique(
        np.frombuffer(names, np.uint64), return_index=True, return_inverse=True, return_counts=True
    )


def _dealt(
    config: Splits, member: Places, counts: Places, orders: Iterable[tuple[Places, Sequence[str]]]
) -> bytearray:
    """Deal each order of groups to splits, in their order, by their shares of the rows."""
    shares, splits = shares_of(config), np.empty(len(counts), np.uint8)
    for order, names in orders:
        sizes = counts[order]
        whole = int(sizes.sum())
        ends = [sum(shares[name] for name in names[: place + 1]) * whole for place in range(len(names))]
        middles = np.cumsum(sizes) - sizes / 2
        found = np.minimum(np.searchsorted(ends, middles), len(names) - 1)
        splits[order] = np.array([NAMES.index(name) for name in names], np.uint8)[found]
    return bytearray(splits[member])


def time_of(row: Row, key: str) -> float:
    """When a row is from, in seconds: a number, or a date as ISO 8601 has it. Raises DataError."""
    value: Any = row.facts.get(key)
    if value is None:
        raise _missing(row, key)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        remedy = "Write it as 2026-11-20 or 2026-11-20T09:00:00."
        raise DataError(f"its {key} {str(value)!r} is no date", where=row.origin, remedy=remedy) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _missing(row: Row, key: str) -> DataError:
    remedy = f"Give sources.NAME.keep: [{key}] to a source whose rows have it."
    return DataError(f"it has no {key}, which the split goes by", where=row.origin, remedy=remedy)


def chance(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
