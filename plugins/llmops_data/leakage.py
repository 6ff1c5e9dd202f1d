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

    Each row counts for the first step that finds one of its duplicates in training.
    """

    test: int
    by_step: Mapping[str, int]

    def __str__(self) -> str:
        leaked = sum(self.by_step.values())
        parts = ", ".join(f"{count:,} seen by {name}" for name, count in self.by_step.items() if count)
        if not leaked:
            return f"a random split would have leaked none of {self.test:,} test rows"
        what = f"{leaked:,} of {self.test:,} test rows"
        return f"a random split of the rows as read would have leaked {what} ({parts})"


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
    return Leak(len(test), by_step)


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
