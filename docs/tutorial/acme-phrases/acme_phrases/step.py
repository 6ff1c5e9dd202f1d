"""The work: which rows stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acme_phrases.config import AcmePhrases
from llmops_core.errors import DataError
from llmops_core.step import StepRun


def acme_phrases(config: AcmePhrases, run: StepRun, *, rows: Sequence[Any]) -> Sequence[Any]:
    """Keep the rows whose answer begins with none of the phrases. Raises DataError when too many would go."""
    opening = tuple(phrase.casefold() for phrase in config.phrases)
    doomed = [row for row in rows if row.messages[-1].content.casefold().startswith(opening)]
    for row in doomed[: config.examples]:
        run.log(f"left out {row.origin}: {row.messages[-1].content[:60]}")
    if len(doomed) > config.most * len(rows):
        what = f"{len(doomed)} of {len(rows)} rows begin with a phrase"
        raise DataError(what, where=run.step, remedy=f"Raise steps.acme_phrases.most above {config.most:g}.")
    gone = {row.origin for row in doomed}
    return [row for row in rows if row.origin not in gone]
