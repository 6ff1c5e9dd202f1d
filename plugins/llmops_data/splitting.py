"""Deals rows out to splits; no group of duplicates is torn, however it is done.

By hash (the usual way) a group's split depends on its first row alone: more rows move no old ones. By time
the newest rows are the test's. Stratified, each value of a fact has its share in every split.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from llmops_core.errors import DataError
from llmops_data.config import Split, Splits
from llmops_data.grouping import group_fingerprints
from llmops_data.rows import Link, Row

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


def _cap(config: Splits, rows: Sequence[Row], dealt: bytearray, number: int) -> None:
    """Leave at most the split's `max_rows`, chosen by hash, so that the same rows are chosen among more."""
    split: Split = getattr(config, NAMES[number])
    places = array("L", (place for place, one in enumerate(dealt) if one == number))
    chances = array(
        "d",
        (
            chance(f"{config.seed} cap {row.fingerprint}")
            for row, one in zip(rows, dealt, strict=True)
            if one == number
        ),
    )
    kept = set(heapq.nsmallest(split.max_rows or 0, range(len(places)), key=lambda at: (chances[at], at)))
    for at, place in enumerate(places):
        if at not in kept:
            dealt[place] = LEFT_OUT


def _by_time(config: Splits, rows: Sequence[Row], groups: Iterable[str]) -> bytearray:
    """A group is as old as its newest row, so that training sees nothing of the test's time."""
    named: list[str] = []
    newest: dict[str, float] = {}
    counts: dict[str, int] = defaultdict(int)
    for row, group in zip(rows, groups, strict=True):
        time = time_of(row, config.time)
        newest[group] = max(newest.get(group, time), time)
        counts[group] += 1
        named.append(group)
    order = sorted(newest, key=lambda group: (newest[group], group))
    return _cut(config, named, [(order, ("train", "validation", "test"))], counts)


def _stratified(config: Splits, rows: Sequence[Row], groups: Iterable[str]) -> bytearray:
    """A group belongs to the stratum of its first row."""
    named: list[str] = []
    strata: dict[str, list[str]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for row, group in zip(rows, groups, strict=True):
        if config.stratify not in row.facts:
            raise _missing(row, config.stratify)
        if group not in counts:
            strata[str(row.facts[config.stratify])].append(group)
        counts[group] += 1
        named.append(group)
    orders = [
        (
            sorted(found, key=lambda group: chance(f"{config.seed} split {group}")),
            ("test", "validation", "train"),
        )
        for found in strata.values()
    ]
    return _cut(config, named, orders, counts)


def _cut(
    config: Splits,
    named: Sequence[str],
    orders: Iterable[tuple[Sequence[str], Sequence[str]]],
    counts: Mapping[str, int],
) -> bytearray:
    """Deal each order of groups to splits, in their order, by their shares of the rows."""
    shares, splits = shares_of(config), {}
    for order, names in orders:
        whole, done = sum(counts[group] for group in order), 0.0
        ends = [sum(shares[name] for name in names[: place + 1]) * whole for place in range(len(names))]
        for group in order:
            middle = done + counts[group] / 2
            splits[group] = next((n for n, end in zip(names, ends, strict=True) if middle <= end), names[-1])
            done += counts[group]
    return bytearray(NAMES.index(splits[group]) for group in named)


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
