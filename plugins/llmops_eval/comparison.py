"""From the statistics of both models to values with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from llmops_core.errors import PluginError
from llmops_eval.bootstrap import Numbers, interval, resampled_sums
from llmops_eval.metric import Score

Told = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Compared:
    """Each score's value, low, high and better; `values` are the candidate's and the comparisons."""

    values: Told
    baseline: Told


@dataclass(frozen=True)
class Drawn:
    """A score of one model: observed, and in each resample."""

    observed: float
    draws: Numbers


def compare(
    candidate: Sequence[Score], baseline: Sequence[Score], *, resamples: int, confidence: float, seed: int
) -> Compared:
    """Values and intervals of all scores; `baseline` is empty when there is none."""
    drawn = _draw([*candidate, *baseline], resamples, seed)
    tuned = drawn[: len(candidate)]
    base = {one.name: found for one, found in zip(baseline, drawn[len(candidate) :], strict=True)}
    values: Told = {}
    told: Told = {}
    for score, own in zip(candidate, tuned, strict=True):
        values[score.name] = _entry(own, score.better, confidence)
        if (other := base.get(score.name)) is None:
            continue
        told[score.name] = _entry(other, score.better, confidence)
        if score.compare:
            better = score.better if score.compare == "ratio" else "higher"
            values[score.comparison] = _entry(_against(score, own, other), better, confidence)
    return Compared(values, told)


def statistics(score: Score) -> Numbers:
    """A score's statistics, shape (rows, numbers); those of a mean get a column of ones to count by."""
    table = numpy.asarray(score.rows, dtype=float)
    if table.ndim == 1:
        table = table[:, None]
    if score.combine is None:
        table = numpy.column_stack([table[:, :1], numpy.ones(len(table))])
    return table


def combined(score: Score, sums: Numbers) -> Numbers:
    """The score of each row of sums."""
    with numpy.errstate(over="ignore", divide="ignore", invalid="ignore"):
        found = sums[:, 0] / sums[:, 1] if score.combine is None else score.combine(sums)
    found = numpy.asarray(found, dtype=float)
    if found.shape != (len(sums),):
        raise PluginError(
            f"combine returned shape {found.shape} for {len(sums)} draws",
            where=f"score {score.name}",
            remedy="It takes (draws, numbers) and returns one number a draw.",
        )
    return found


def _draw(scores: Sequence[Score], resamples: int, seed: int) -> list[Drawn]:
    tables = [statistics(score) for score in scores]
    sums = resampled_sums(numpy.concatenate(tables, axis=1), resamples, seed)
    found, start = [], 0
    for score, table in zip(scores, tables, strict=True):
        own = sums[:, start : start + table.shape[1]]
        start += table.shape[1]
        observed = combined(score, table.sum(axis=0, keepdims=True))[0]
        found.append(Drawn(float(observed), combined(score, own)))
    return found


def _against(score: Score, own: Drawn, other: Drawn) -> Drawn:
    if score.compare == "ratio":
        with numpy.errstate(divide="ignore", invalid="ignore", over="ignore"):
            observed = numpy.float64(own.observed) / numpy.float64(other.observed)
            return Drawn(float(observed), own.draws / other.draws)
    sign = 1.0 if score.better == "higher" else -1.0
    with numpy.errstate(invalid="ignore"):
        return Drawn(sign * (own.observed - other.observed), sign * (own.draws - other.draws))


def _entry(drawn: Drawn, better: str, confidence: float) -> dict[str, Any]:
    low, high = interval(drawn.draws, drawn.observed, confidence)
    return {"value": drawn.observed, "low": low, "high": high, "better": better}


def row_values(scores: Sequence[Score]) -> list[Mapping[str, float]]:
    """Each score of each row by itself (BLEU of one row is a rough number)."""
    columns = {score.name: combined(score, statistics(score)).tolist() for score in scores}
    count = len(scores[0].rows) if scores else 0
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]
