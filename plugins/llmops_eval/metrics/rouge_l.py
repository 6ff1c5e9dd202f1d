"""ROUGE-L by rouge-score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rouge_score.rouge_scorer import RougeScorer

from llmops_eval.metric import Score

if TYPE_CHECKING:
    from llmops_core.step import StepRun
    from llmops_eval.config import RougeL


def rouge_l(
    config: RougeL, run: StepRun, *, references: Sequence[str], generations: Sequence[str]
) -> Sequence[Score]:
    """The mean over rows of the F-measure of the longest common subsequence of words, from 0 to 1."""
    scorer = RougeScorer(["rougeL"], use_stemmer=config.stem)
    rows = [
        float(scorer.score(reference, answer)["rougeL"].fmeasure)
        for answer, reference in zip(generations, references, strict=True)
    ]
    return (Score("rouge_l", "higher", rows, compare="gain"),)
