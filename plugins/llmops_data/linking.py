"""What becomes of rows that resemble others: left out, or kept together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from llmops_core.step import StepRun
from llmops_data.rows import Chosen, Links, Outcome, Row

Alike = tuple[int, int, float]
"""The places of two rows, the earlier one first, and their similarity (1.0: the same in all compared)."""


def left(found: Iterable[Alike], rows: Sequence[Row], run: StepRun, what: str) -> Outcome:
    """Leave out each row that resembles an earlier one that stays. `found` is in the order of the second."""
    kept = np.ones(len(rows), bool)
    links = Links(rows, run.scratch)
    for first, second, similarity in found:
        # Equals resemble the same earlier row, so the second goes even where the first has gone.
        dropped = bool(kept[first] or similarity == 1.0)
        kept[second] &= not dropped
        links.add(first, second, round(similarity, 4), dropped)
    return Outcome(Chosen(rows, kept), f"{np.count_nonzero(~kept):,} {what} left out", links)


def together(found: Iterable[Alike], rows: Sequence[Row], run: StepRun, what: str) -> Outcome:
    """Keep all rows, and tell which belong together."""
    member = np.zeros(len(rows), bool)
    links = Links(rows, run.scratch)
    for first, second, similarity in found:
        member[[first, second]] = True
        links.add(first, second, round(similarity, 4), False)
    return Outcome(rows, f"{np.count_nonzero(member):,} {what} kept together", links)
