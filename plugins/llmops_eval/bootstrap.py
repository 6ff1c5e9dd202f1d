"""The paired bootstrap over rows: how far a number may be off because other rows might have been drawn.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile
intervals); Koehn, Statistical significance tests for machine translation evaluation, 2004 (pairing).
"""

from __future__ import annotations

from typing import Any

import numpy

Numbers = numpy.ndarray[Any, numpy.dtype[numpy.float64]]

CELLS = 4_000_000
"""How many row counts are held at once (32 MB)."""


def resampled_sums(statistics: Numbers, resamples: int, seed: int) -> Numbers:
    """The sums of the statistics over each resample: shape (rows, numbers) -> (resamples, numbers).

    A resample draws as many rows as there are, with replacement. All columns see the same draws, so
    whatever is computed from them is paired.
    """
    rows = len(statistics)
    chance = numpy.random.default_rng(seed)
    block = max(1, CELLS // rows)
    sums = numpy.empty((resamples, statistics.shape[1]))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = chance.multinomial(rows, numpy.full(rows, 1 / rows), size=count)
        # einsum adds in one fixed order, where a threaded matrix product may not
        sums[start : start + count] = numpy.einsum("dr,rn->dn", drawn.astype(float), statistics)
    return sums


def interval(draws: Numbers, observed: float, confidence: float) -> tuple[float, float]:
    """The percentile interval of the draws, widened where needed to hold the observed value.

    NaN where the observed value or any draw is NaN: such an interval bounds nothing.
    """
    if numpy.isnan(observed) or numpy.isnan(draws).any():
        return (float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = numpy.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    return (min(float(low), observed), max(float(high), observed))
