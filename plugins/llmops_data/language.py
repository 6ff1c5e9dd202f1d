"""Finds each row's language, and keeps only some."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped]

from llmops_core.step import StepRun
from llmops_data.config import Language
from llmops_data.rows import Outcome, Row

UNKNOWN = "und"
"""Undetermined, as ISO 639-2 writes it."""


@cache
def _identifier() -> Any:
    # Any: the library has no types. Its model, 97 languages, lies in its package.
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(config: Language, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Note each row's language as a fact; leave out rows in others than those kept."""
    counts: Counter[str] = Counter()
    kept = []
    for row in rows:
        found = language_of(row.text[: config.characters], config.min_probability)
        if config.keep and found not in (*config.keep, UNKNOWN):
            counts[f"in {found} left out"] += 1
        else:
            counts[f"in {found}"] += 1
            kept.append(dataclasses.replace(row, facts={**row.facts, "language": found}))
    return Outcome(kept, counts=counts)


language.by_rows = True  # type: ignore[attr-defined]


def language_of(text: str, least: float) -> str:
    """The code of a text's language, or UNKNOWN where the model is less sure."""
    code, probability = _identifier().classify(text)
    return str(code) if probability >= least else UNKNOWN
