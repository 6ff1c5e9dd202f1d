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
    counts = {
        f"under {config.min_characters:,} characters left out": sum(
            one < config.min_characters for one in sizes
        ),
        f"over {config.max_characters:,} characters left out": sum(
            one > config.max_characters for one in sizes
        ),
    }
    return Outcome(kept, counts=counts)


length.by_rows = True  # type: ignore[attr-defined]
