"""How likely the reference answers are to the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy

from llmops_eval.metric import Likelihood, Score

if TYPE_CHECKING:
    from llmops_core.step import StepRun
    from llmops_eval.config import Perplexity


def perplexity(config: Perplexity, run: StepRun, *, likelihoods: Sequence[Likelihood]) -> Sequence[Score]:
    """Nats a token, and its exponential; every token counts the same, so long answers count more."""
    rows = [(row.nll, float(row.tokens)) for row in likelihoods]
    return (
        Score("nll", "lower", rows, nats_a_token),
        Score("perplexity", "lower", rows, lambda sums: numpy.exp(nats_a_token(sums)), compare="ratio"),
    )


def nats_a_token(sums: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """From sums of (nats, tokens)."""
    found: numpy.ndarray[Any, Any] = sums[:, 0] / sums[:, 1]
    return found
