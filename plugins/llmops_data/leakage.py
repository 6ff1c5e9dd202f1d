"""How many test rows a plain random split of the rows as read would have leaked into training."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmops_data.config import Splits
from llmops_data.grouping import Members, Places, joined, tied
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
    ties = {name: tied(found) for name, found in links.items()}
    members = Members(list(ties.values()))
    count, left, train = _dealt(config, rows, members)
    by_step = {}
    firsts = seconds = np.empty(0, np.int32)
    equal = np.empty(0, bool)
    for name, tie in ties.items():
        firsts = np.concatenate((firsts, members.places(tie.firsts)))
        seconds = np.concatenate((seconds, members.places(tie.seconds)))
        equal = np.concatenate((equal, tie.equal))
        same = joined(len(members), firsts[equal], seconds[equal])
        remaining = left[~_reached(same[firsts], same[seconds], same[train], len(members))[same[left]]]
        by_step[name] = len(left) - len(remaining)
        left = remaining
    return Leak(count, by_step, [name for name, tie in ties.items() if not tie.drops])


def _dealt(config: Splits, rows: Iterable[Row], members: Members) -> tuple[int, Places, Places]:
    """How many rows a random split puts into test; and which linked ones into test and into training."""
    shares = shares_of(config)
    count, test, train = 0, array("i"), array("i")
    for row, member in members.located(rows):
        place = chance(f"{config.seed} random {row.origin}")
        if place < shares["test"]:
            count += 1
            if member >= 0:
                test.append(member)
        elif place >= shares["test"] + shares["validation"] and member >= 0:
            train.append(member)
    return count, np.array(test, np.int32), np.array(train, np.int32)


def _reached(firsts: Places, seconds: Places, train: Places, count: int) -> NDArray[np.bool_]:
    """Of sets of equal rows, those that have a training row among them or among their neighbours."""
    learnt = np.zeros(count, bool)
    learnt[train] = True
    reached = learnt.copy()
    reached[seconds[learnt[firsts]]] = True
    reached[firsts[learnt[seconds]]] = True
    return reached
