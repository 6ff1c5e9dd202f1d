"""Deals rows out to splits by the hash of their group: no group is torn, and more rows move no old ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from llmops_data.config import Split, Splits
from llmops_data.grouping import group_fingerprints
from llmops_data.rows import Link, Row

NAMES = ("train", "validation", "test")


def split_rows(config: Splits, rows: Sequence[Row], links: Iterable[Link]) -> dict[str, list[Row]]:
    """The rows of each split, in the order they were read."""
    dealt: dict[str, list[Row]] = {name: [] for name in NAMES}
    for row, group in zip(rows, group_fingerprints(rows, links), strict=True):
        dealt[split_of(config, group)].append(row)
    return {name: capped(config, name, dealt[name]) for name in NAMES}


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


def capped(config: Splits, name: str, rows: list[Row]) -> list[Row]:
    """At most the split's `max_rows`, chosen by hash, so that the same rows are chosen among more."""
    split: Split = getattr(config, name)
    if split.max_rows is None or len(rows) <= split.max_rows:
        return rows
    order = sorted(
        range(len(rows)), key=lambda index: (chance(f"{config.seed} cap {rows[index].fingerprint}"), index)
    )
    return [rows[index] for index in sorted(order[: split.max_rows])]


def chance(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
