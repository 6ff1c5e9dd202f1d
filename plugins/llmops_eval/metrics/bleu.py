"""Corpus BLEU by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
from sacrebleu.metrics.bleu import BLEU

from llmops_eval.metric import Score

if TYPE_CHECKING:
    from llmops_core.step import StepRun
    from llmops_eval.config import Bleu


def bleu(
    config: Bleu, run: StepRun, *, references: Sequence[str], generations: Sequence[str]
) -> Sequence[Score]:
    """From 0 to 100. A row's statistics are both lengths, then matches and totals of 1- to 4-grams."""
    # sentence_score warns of sentences' own smoothing unless told; only its counts are taken
    scorer = BLEU(tokenize=config.tokenize, lowercase=config.ignore_case, effective_order=True)
    rows = []
    for answer, reference in zip(generations, references, strict=True):
        seen = scorer.sentence_score(answer, [reference])
        rows.append([float(count) for count in (seen.sys_len, seen.ref_len, *seen.counts, *seen.totals)])
    return (Score("bleu", "higher", rows, corpus_bleu, compare="gain"),)


def corpus_bleu(sums: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """BLEU of each row of summed statistics, smoothed as sacrebleu smooths a corpus."""
    return numpy.array([_one(counts) for counts in sums.round().astype(int).tolist()])


def _one(counts: Sequence[int]) -> float:
    orders = (len(counts) - 2) // 2
    matches, totals = list(counts[2 : 2 + orders]), list(counts[2 + orders :])
    return float(BLEU.compute_bleu(matches, totals, counts[0], counts[1], smooth_method="exp").score)
