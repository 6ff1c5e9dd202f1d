"""Keeps the first of rows that say the same."""

from __future__ import annotations

from collections.abc import Sequence

from llmops_core.step import StepRun
from llmops_data.config import Exact
from llmops_data.rows import Link, Outcome, Row


def exact(config: Exact, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Leave out every row that says, in the same roles, what an earlier one said."""
    firsts: dict[tuple[tuple[str, str], ...], Row] = {}
    links = []
    for row in rows:
        said = tuple(
            (one.role, one.content.casefold() if config.ignore_case else one.content) for one in row.messages
        )
        first = firsts.setdefault(said, row)
        if first is not row:
            links.append(Link(first, row, 1.0, dropped=True))
    return Outcome(list(firsts.values()), f"{len(links):,} exact duplicates left out", links)
