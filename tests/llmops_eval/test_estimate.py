from __future__ import annotations

from pathlib import Path
from typing import Any

from llmops_core.artifacts import Dataset, Model
from llmops_eval.config import AnswersEvaluate
from llmops_eval.estimate import estimate
from tests.llmops_eval.conftest import chosen

SMALL = Model(folder=Path(), name="small", parameters=100_000_000, context=512)
DATA = Dataset(folder=Path(), rows={"test": 1000}, shape="messages")


def told(inputs: dict[str, Any], **values: Any) -> dict[str, float]:
    config = AnswersEvaluate(metrics=values.pop("metrics", chosen("bleu")), **values)
    return {one.what: one.value for one in estimate(config, inputs)}


def test_nothing_is_told_of_an_unknown_model() -> None:
    assert told({"candidate": None, "data": DATA}) == {}


def test_without_rows_only_memory_is_told() -> None:
    assert set(told({"candidate": SMALL, "data": None})) == {"memory"}
    assert set(told({"candidate": SMALL, "data": None}, max_rows=64)) == {"memory", "time"}


def test_the_weights_fit_into_the_memory_told() -> None:
    full, half = told({"candidate": SMALL}), told({"candidate": SMALL}, precision="bfloat16")
    assert full["memory"] > SMALL.parameters * 4
    assert full["memory"] - half["memory"] == SMALL.parameters * 2


def test_fewer_rows_and_no_writing_take_less_time() -> None:
    inputs = {"candidate": SMALL, "data": DATA}
    times = [
        told(inputs, **values)["time"]
        for values in ({"max_rows": 64, "metrics": chosen("perplexity")}, {"max_rows": 64}, {})
    ]
    assert times == sorted(set(times))
