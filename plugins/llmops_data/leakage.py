"""How many test rows a plain random split of the rows as read would have leaked into training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmops_data.config import Splits
from llmops_data.grouping import Groups
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


def leaked(config: Splits, rows: Sequence[Row], links: Mapping[str, Sequence[Link]]) -> Leak:
    """Deal the rows as read out at random and look for each test row's duplicates among the training rows.

    `links` are the duplicates that each step found, by its name. A pair counts where the two are direct
    duplicates, or equal to two that are.
    """
    shares = shares_of(config)
    places = {row.origin: chance(f"{config.seed} random {row.origin}") for row in rows}
    test = [origin for origin, place in places.items() if place < shares["test"]]
    train = [origin for origin, place in places.items() if place >= shares["test"] + shares["validation"]]
    left, equal, by_step = test, Groups(places), {}
    pairs: list[Link] = []
    for name, found in links.items():
        pairs += found
        for link in found:
            if link.similarity == 1.0:
                equal.join(link.first.origin, link.second.origin)
        reached = _reached(equal, pairs, train)
        remaining = [origin for origin in left if equal.find(origin) not in reached]
        by_step[name] = len(left) - len(remaining)
        left = remaining
    grouped = [name for name, found in links.items() if not any(link.dropped for link in found)]
    return Leak(len(test), by_step, grouped)


def _reached(equal: Groups, pairs: Sequence[Link], train: Sequence[str]) -> set[str]:
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
