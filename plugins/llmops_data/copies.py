"""How many rows of a dataset say, or ask, what another one does."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmops_core.step import StepRun
from llmops_data.compared import COMMON
from llmops_data.config import Near
from llmops_data.lines import Identities
from llmops_data.rows import Row

ALIKE = 0.8
"""Jaccard similarity from which two rows are nearly the same."""
SHOWN = 8
LONGEST = 2000


@dataclass(frozen=True)
class Copies:
    """Rows that repeat an earlier one, ask what an earlier one asks, or stand in another split too."""

    rows: int
    again: int
    same_prompt: int
    across: int


def copies(found: Identities) -> Copies:
    """Count them."""
    again = len(found.rows) - len(np.unique(found.rows))
    same_prompt = len(found.prompts) - len(np.unique(found.prompts))
    across = 0
    for split in np.unique(found.splits)[1:]:
        earlier, here = found.rows[found.splits < split], found.rows[found.splits == split]
        across += len(np.intersect1d(earlier, here))
    return Copies(len(found.rows), again, same_prompt, across)


def resembling(rows: Sequence[Row]) -> Mapping[str, Any]:
    """How many of some rows nearly repeat another, but not wholly; and the first of them beside it.

    A text that opens many rows (a system message) does not make them alike: it is left out.
    """
    from llmops_data.near import near

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = StepRun(folder=folder, scratch=folder, cache=folder, state=folder)
        links = list(near(Near(threshold=ALIKE, action="group"), run, rows=_distinctive(rows)).links)
    unequal = [link for link in links if link.first.text != link.second.text]
    return {
        "looked_at": len(rows),
        "threshold": ALIKE,
        "rows": len({link.second.origin for link in unequal}),
        "examples": [
            {
                "similarity": link.similarity,
                "first": {"row": link.first.origin, "text": link.first.text[:LONGEST]},
                "second": {"row": link.second.origin, "text": link.second.text[:LONGEST]},
            }
            for link in unequal[:SHOWN]
        ],
    }


def _distinctive(rows: Sequence[Row]) -> list[Row]:
    """The rows without the texts that many of them share, each with at least its last one."""
    counts = Counter(message.content for row in rows for message in row.messages)
    return [
        dataclasses.replace(
            row,
            messages=tuple(one for one in row.messages if counts[one.content] < COMMON) or row.messages[-1:],
        )
        for row in rows
    ]
