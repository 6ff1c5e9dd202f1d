"""The plan of steps: a function of lengths and seed that uses each row once an epoch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from llmops_lightning.batches import plan_steps
from llmops_lightning.config import LightningTrain
from llmops_lightning.estimate import estimate
from llmops_lightning.module import learning_rate
from llmops_lightning.objective import Example


def examples_of(lengths: list[int]) -> list[Example]:
    return [Example((1,) * length, (-100,) + (1,) * (length - 1)) for length in lengths]


@given(
    lengths=some.lists(some.integers(2, 90), min_size=1, max_size=60),
    epochs=some.integers(1, 3),
    batch_size=some.integers(1, 5),
    accumulate=some.integers(1, 4),
)
def test_each_row_is_seen_once_an_epoch(
    lengths: list[int], epochs: int, batch_size: int, accumulate: int
) -> None:
    examples = examples_of(lengths)
    steps = plan_steps(examples, epochs, batch_size, accumulate, seed=5)
    seen = sorted(row for step in steps for batch in step.batches for row in batch)
    assert seen == sorted([*range(len(lengths))] * epochs)
    assert all(len(step.batches) <= accumulate for step in steps)
    assert all(len(batch) <= batch_size for step in steps for batch in step.batches)
    assert sum(step.weight for step in steps) == epochs * sum(length - 1 for length in lengths)


def test_the_order_is_the_seeds() -> None:
    examples = examples_of([length % 50 + 2 for length in range(200)])
    assert plan_steps(examples, 2, 4, 2, 1) == plan_steps(examples, 2, 4, 2, 1)
    assert plan_steps(examples, 2, 4, 2, 1) != plan_steps(examples, 2, 4, 2, 2)


def test_rows_of_like_length_lie_together_so_little_is_padding() -> None:
    examples = examples_of([(length * 37) % 97 + 2 for length in range(256)])
    steps = plan_steps(examples, 1, 4, 2, 1)
    padded = sum(
        len(batch) * max(examples[row].length for row in batch) for step in steps for batch in step.batches
    )
    assert padded < 1.1 * sum(example.length for example in examples)


def test_the_learning_rate_rises_then_falls_to_nearly_nothing() -> None:
    config = LightningTrain(lr=1.0, warmup_steps=4)
    rates = [learning_rate(config, step, 20) for step in range(20)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_a_warmup_longer_than_the_training_still_reaches_the_peak() -> None:
    assert max(learning_rate(LightningTrain(lr=1.0, warmup_steps=100), step, 5) for step in range(5)) == 1.0


def test_nothing_is_estimated_for_a_model_of_unknown_size() -> None:
    assert list(estimate(LightningTrain(), {"model": None, "data": None})) == []
