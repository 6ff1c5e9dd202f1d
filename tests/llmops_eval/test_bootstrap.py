from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from llmops_eval import bootstrap
from llmops_eval.bootstrap import interval, resampled_sums
from llmops_eval.comparison import Compared, compare
from llmops_eval.metric import Score

numbers = some.floats(0, 100, allow_subnormal=False)
rows = some.lists(some.tuples(numbers, numbers), min_size=1, max_size=30)


def drawn(candidate: list[Score], baseline: list[Score] = [], seed: int = 0) -> Compared:  # noqa: B006
    return compare(candidate, baseline, resamples=200, confidence=0.95, seed=seed)


def mean(values: Any, **more: Any) -> Score:
    return Score("score", more.pop("better", "higher"), list(values), **more)


@given(rows, some.integers(0, 5))
def test_an_interval_holds_its_value_and_is_the_same_again(pairs: Any, seed: int) -> None:
    score = mean(own for own, _ in pairs)
    told = drawn([score], seed=seed).values["score"]
    assert told["low"] <= told["value"] <= told["high"]
    assert told["value"] == pytest.approx(sum(own for own, _ in pairs) / len(pairs))
    assert min(own for own, _ in pairs) - 1e-9 <= told["low"]
    assert told == drawn([score], seed=seed).values["score"]


@given(some.lists(numbers.filter(lambda value: value > 0.1), min_size=2, max_size=30))
def test_a_model_against_itself_differs_by_nothing_in_every_draw(values: list[float]) -> None:
    same = [mean(values, compare="gain"), Score("other", "lower", values, compare="ratio")]
    told = drawn(same, same).values
    assert [told["score_gain"][end] for end in ("low", "value", "high")] == [0, 0, 0]
    assert [told["other_ratio"][end] for end in ("low", "value", "high")] == [1, 1, 1]


@given(some.lists(some.integers(1, 100), min_size=2, max_size=30), some.integers(2, 9))
def test_draws_are_paired_so_a_fixed_difference_has_no_interval(values: list[int], more: int) -> None:
    told = drawn([mean([value + more for value in values], compare="gain")], [mean(values)]).values
    assert told["score_gain"]["low"] == pytest.approx(more)
    assert told["score_gain"]["high"] == pytest.approx(more)


def test_a_gain_is_above_zero_when_the_candidate_is_better() -> None:
    lower = {"better": "lower", "compare": "gain"}
    told = drawn([mean([1.0, 2.0], **lower)], [mean([3.0, 5.0], **lower)]).values["score_gain"]
    assert told["value"] == 2.5
    assert told["better"] == "higher"


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = numpy.random.default_rng(3).normal(10, 2, size=400)
    told = compare([mean(values)], [], resamples=4000, confidence=0.95, seed=1).values["score"]
    theory = 2 * 1.96 * values.std() / math.sqrt(len(values))
    assert told["high"] - told["low"] == pytest.approx(theory, rel=0.06)


def test_more_confidence_gives_a_wider_interval() -> None:
    values = [float(value) for value in range(40)]
    widths = []
    for confidence in (0.5, 0.9, 0.99):
        told = compare([mean(values)], [], resamples=500, confidence=confidence, seed=0).values["score"]
        widths.append(told["high"] - told["low"])
    assert widths == sorted(set(widths))


def test_the_draws_do_not_depend_on_how_many_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = numpy.arange(20.0).reshape(10, 2)
    whole = resampled_sums(table, 50, seed=4)
    monkeypatch.setattr(bootstrap, "CELLS", 70)
    assert (resampled_sums(table, 50, seed=4) == whole).all()


def test_the_order_of_scores_changes_none_of_them() -> None:
    one, two = mean([1.0, 4.0, 2.0]), Score("two", "lower", [0.5, 0.1, 9.0])
    assert drawn([one, two]).values == drawn([two, one]).values


def test_what_is_not_a_number_has_no_bounds() -> None:
    told = drawn([mean([1.0, float("nan")])]).values["score"]
    assert all(math.isnan(told[end]) for end in ("low", "value", "high"))


@settings(deadline=None)
@given(some.lists(numbers, min_size=1, max_size=50), some.floats(0.5, 0.99))
def test_an_interval_lies_among_its_draws_and_its_value(draws: list[float], confidence: float) -> None:
    low, high = interval(numpy.array(draws), draws[0], confidence)
    assert {low, high} <= set(draws)
    assert low <= draws[0] <= high
