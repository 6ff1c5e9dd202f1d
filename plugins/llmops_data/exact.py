"""Keeps the first of rows that say the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from llmops_core.step import StepRun
from llmops_data.config import Exact
from llmops_data.digests import digests_of, firsts
from llmops_data.rows import Chosen, Links, Outcome, Row


def exact(config: Exact, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Leave out every row that says, in the same roles, what an earlier one said."""
    first = firsts(digests_of(_said(row, config.ignore_case) for row in rows))
    kept = first == np.arange(len(first))
    gone = np.flatnonzero(~kept)
    links = Links(rows)
    for place in gone:
        links.add(int(first[place]), int(place), 1.0, True)
    note = f"{len(gone):,} exact duplicates left out"
    return Outcome(Chosen(rows, np.flatnonzero(kept).tolist()), note, links)


def _said(row: Row, ignore_case: bool) -> bytes:
    said = [(one.role, one.content.casefold() if ignore_case else one.content) for one in row.messages]
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")
