"""How many test rows a plain random split of the rows as read would have leaked into training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from llmops_data.config import Splits
from llmops_data.grouping import Groups, grouped
from llmops_data.rows import Link, Row
from llmops_data.splitting import chance, shares_of


@dataclass(frozen=True)
class Leak:
    """Of `test` rows of a random split, `by_step` counts those with a duplicate in training.

    Each row counts for the first step that finds one of its duplicates in training. `grouped` are the
    steps that keep what they find, only together.
    """

    test: int
    by_step: Mapping[str, int]
    grouped: Sequence[str] = ()

    def __str__(self) -> str:
        copies = {name: count for name, count in self.by_step.items() if count and name not in self.grouped}
        alike = {name: count for name, count in self.by_step.items() if count and name in self.grouped}
        found = ", ".join(f"{count:,} by {name}" for name, count in copies.items())
        told = f"of {self.test:,} test rows of a random split, {sum(copies.values()):,} would have had a copy"
        told = f"{told} in training" + (f" (found {found})" if found else "")
        more = ", ".join(f"{count:,} by {name}" for name, count in alike.items())
        return f"{told}, and {sum(alike.values()):,} more one that they resemble ({more})" if alike else told


def leaked(config: Splits, rows: Iterable[Row], links: Mapping[str, Iterable[Link]]) -> Leak:
    """Deal the rows as read out at random and look for each test row's duplicates among the training rows.

    `links` are the duplicates that each step found, by its name. A pair counts where the two are direct
    duplicates, or equal to two that are.
    """
    linked = grouped(link for found in links.values() for link in found)
    count, left, train = _dealt(config, rows, linked)
    equal, by_step, grouping = Groups(), {}, []
    earlier: list[Iterable[Link]] = []
    for name, found in links.items():
        earlier.append(found)
        drops = False
        for link in found:
            drops = drops or link.dropped
            if link.similarity == 1.0:
                equal.join(link.first.origin, link.second.origin)
        if not drops:
            grouping.append(name)
        reached = _reached(equal, chain.from_iterable(earlier), train)
        remaining = [origin for origin in left if equal.find(origin) not in reached]
        by_step[name] = len(left) - len(remaining)
        left = remaining
    return Leak(count, by_step, grouping)


def _dealt(config: Splits, rows: Iterable[Row], linked: Groups) -> tuple[int, list[str], list[str]]:
    """How many rows a random split puts into test; and which linked ones into test and into training."""
    shares = shares_of(config)
    count, test, train = 0, [], []
    for row in rows:
        place = chance(f"{config.seed} random {row.origin}")
        if place < shares["test"]:
            count += 1
            if row.origin in linked:
                test.append(row.origin)
        elif place >= shares["test"] + shares["validation"] and row.origin in linked:
            train.append(row.origin)
    return count, test, train


def _reached(equal: Groups, pairs: Iterable[Link], train: Iterable[str]) -> set[str]:
    """The sets of equal rows that have a training row among them or among their neighbours."""
    learnt = {equal.find(origin) for origin in train}
    reached = set(learnt)
    for link in pairs:
        first, second = equal.find(link.first.origin), equal.find(link.second.origin)
        if first in learnt:
            reached.add(second)
        if second in learnt:
            reached.add(first)
    return reached
