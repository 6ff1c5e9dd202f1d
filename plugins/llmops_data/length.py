"""Leaves out rows that are too short or too long."""

from __future__ import annotations

from collections.abc import Sequence

from llmops_core.step import StepRun
from llmops_data.config import Length
from llmops_data.rows import Outcome, Row


def length(config: Length, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Keep the rows whose messages together are within the bounds, in characters."""
    sizes = [sum(len(message.content) for message in row.messages) for row in rows]
    kept = [
        row
        for row, size in zip(rows, sizes, strict=True)
        if config.min_characters <= size <= config.max_characters
    ]
    short = sum(size < config.min_characters for size in sizes)
    long = sum(size > config.max_characters for size in sizes)
    note = f"{short:,} under {config.min_characters:,} and {long:,} over {config.max_characters:,} characters"
    return Outcome(kept, f"{note} left out" if short or long else "none too short or too long")
