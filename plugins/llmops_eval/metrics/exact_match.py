"""The share of answers that say exactly what the reference says."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmops_eval.metric import Score

if TYPE_CHECKING:
    from llmops_core.step import StepRun
    from llmops_eval.config import ExactMatch


def exact_match(
    config: ExactMatch, run: StepRun, *, references: Sequence[str], generations: Sequence[str]
) -> Sequence[Score]:
    """1 for a row whose answer equals its reference once both are normalised, else 0."""
    rows = [
        float(normalised(answer, config) == normalised(reference, config))
        for answer, reference in zip(generations, references, strict=True)
    ]
    return (Score("exact_match", "higher", rows, compare="gain"),)


def normalised(text: str, config: ExactMatch) -> str:
    """A text without the differences that do not count."""
    text = unicodedata.normalize("NFKC", text)
    if config.ignore_case:
        text = text.casefold()
    if config.ignore_punctuation:
        text = "".join(" " if unicodedata.category(letter).startswith("P") else letter for letter in text)
    return " ".join(text.split())
