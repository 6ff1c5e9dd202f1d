"""Keeps the first of rows that say the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

from llmops_core.step import StepRun
from llmops_data.config import Exact
from llmops_data.digests import Copies, digests_of
from llmops_data.rows import Chosen, Links, Outcome, Row


def exact(config: Exact, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Leave out every row that says, in the same roles, what an earlier one said."""
    links = Links(rows, run.scratch)
    with Copies(run.scratch, len(rows)) as copies:
        for digests in digests_of(_said(row, config.ignore_case) for row in rows):
            copies.add(digests)
        copies.find()
        for copy, first in copies:
            links.add(first, copy, 1.0, True)
    return Outcome(Chosen(rows, ~copies.mask), f"{len(links):,} exact duplicates left out", links)


def _said(row: Row, ignore_case: bool) -> bytes:
    said = [(one.role, one.content.casefold() if ignore_case else one.content) for one in row.messages]
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")
