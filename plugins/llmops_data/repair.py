"""Mends text that was decoded wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import ftfy

from llmops_core.step import StepRun
from llmops_data.config import Repair
from llmops_data.rewriting import rewritten
from llmops_data.rows import Outcome, Row


def repair(config: Repair, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Repair every text; what was right stays as it is."""
    chosen = ftfy.TextFixerConfig(
        unescape_html=config.entities, uncurl_quotes=config.quotes, normalization=None, explain=False
    )

    def mended(text: str) -> str:
        return text if text.isascii() and not config.entities else ftfy.fix_text(text, chosen)

    return rewritten(rows, mended, "repaired")


repair.by_rows = True  # type: ignore[attr-defined]
