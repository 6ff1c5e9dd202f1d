"""Counts the rows of each split by where they come from and by what is known of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from llmops_data.rows import Row

SOURCE = "source"
MOST_VALUES = 200
"""A fact with more values than this is no kind to count by (a time, a title)."""


class Tallies:
    """Rows by source, and by each of some facts, in each split."""

    def __init__(self, facts: Iterable[str]) -> None:
        self._facts = dict.fromkeys(facts)
        self._found: dict[str, dict[str, Counter[str]]] = {}

    def see(self, row: Row, split: str) -> None:
        """Count a row."""
        self._count(SOURCE, row.origin.partition("#")[0].partition("/")[0].partition(":")[0], split)
        for fact in self._facts:
            if fact in row.facts:
                self._count(fact, str(row.facts[fact]), split)

    def missing(self) -> list[str]:
        """The facts that no row has."""
        return [fact for fact in self._facts if fact not in self._found]

    def _count(self, fact: str, value: str, split: str) -> None:
        known = self._found.setdefault(fact, {})
        if value in known or len(known) <= MOST_VALUES:
            known.setdefault(value, Counter())[split] += 1

    def document(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """Fact -> value -> split -> rows, the commonest value first."""
        return {
            fact: {
                value: dict(known[value])
                for value in sorted(known, key=lambda one: (-known[one].total(), one))
            }
            for fact, known in self._found.items()
            if len(known) <= MOST_VALUES
        }
