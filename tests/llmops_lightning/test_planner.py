"""The plan of steps: a function of lengths and seed that uses each row once an epoch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from llmops_lightning.config import LightningTrain
from llmops_lightning.estimate import estimate
from llmops_lightning.planner import Planned, Schedule, fill, planned_steps
from llmops_lightning.schedules import learning_rate

LENGTHS = some.lists(some.integers(2, 90), min_size=1, max_size=60)


def planned(lengths: list[int], schedule: Schedule) -> list[Planned]:
    return list(planned_steps(lengths, [length - 1 for length in lengths], schedule))


@given(
    lengths=LENGTHS,
    epochs=some.integers(1, 3),
    batch_size=some.integers(1, 5),
    accumulate=some.integers(1, 4),
    pack=some.sampled_from([None, 90, 130]),
)
def test_each_example_is_seen_once_an_epoch(
    lengths: list[int], epochs: int, batch_size: int, accumulate: int, pack: int | None
) -> None:
    steps = planned(lengths, Schedule(epochs, batch_size, accumulate, seed=5, pack=pack))
    for epoch in range(1, epochs + 1):
        seen = [
            at
            for step in steps
            if step.epoch == epoch
            for batch in step.batches
            for row in batch
            for at in row
        ]
        assert sorted(seen) == list(range(len(lengths)))
    assert all(len(step.batches) <= accumulate for step in steps)
    assert all(len(batch) <= batch_size for step in steps for batch in step.batches)
    assert sum(step.loss_tokens for step in steps) == epochs * sum(length - 1 for length in lengths)
    assert sum(step.tokens for step in steps) == epochs * sum(lengths)
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))


def test_the_order_is_the_seeds() -> None:
    lengths = [length % 50 + 2 for length in range(200)]
    assert planned(lengths, Schedule(2, 4, 2, 1)) == planned(lengths, Schedule(2, 4, 2, 1))
    assert planned(lengths, Schedule(2, 4, 2, 1)) != planned(lengths, Schedule(2, 4, 2, 2))


def test_rows_of_like_length_lie_together_so_little_is_padding() -> None:
    steps = planned([(length * 37) % 97 + 2 for length in range(256)], Schedule(1, 4, 2, 1))
    assert sum(step.padded_tokens for step in steps) < 1.1 * sum(step.tokens for step in steps)


@given(lengths=LENGTHS, room=some.integers(90, 300))
def test_packs_hold_every_example_once_and_no_more_than_they_have_room_for(
    lengths: list[int], room: int
) -> None:
    packs = fill(range(len(lengths)), lengths, room)
    assert sorted(at for pack in packs for at in pack) == list(range(len(lengths)))
    assert all(sum(lengths[at] for at in pack) <= room for pack in packs)
    halves = [pack for pack in packs if sum(lengths[at] for at in pack) <= room / 2]
    assert len(halves) <= 1


def test_packs_of_many_examples_are_nearly_full() -> None:
    lengths = [(length * 37) % 97 + 2 for length in range(512)]
    packs = fill(range(512), lengths, 512)
    assert sum(lengths) > 0.97 * 512 * (len(packs) - 1)


def test_the_learning_rate_rises_then_falls_to_nearly_nothing() -> None:
    config = LightningTrain(lr=1.0, warmup_steps=4)
    rates = [learning_rate(config, step, 20) for step in range(20)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_a_warmup_longer_than_the_training_still_reaches_the_peak() -> None:
    assert max(learning_rate(LightningTrain(lr=1.0, warmup_steps=100), step, 5) for step in range(5)) == 1.0


def test_a_stable_schedule_falls_only_at_its_end_and_to_its_floor() -> None:
    config = LightningTrain(lr=1.0, warmup_steps=0, schedule="stable", lr_floor=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert set(rates[:80]) == {1.0}
    assert rates[80:] == sorted(rates[80:], reverse=True)
    assert 0.1 < rates[-1] < 0.2


def test_nothing_is_estimated_for_a_model_of_unknown_size() -> None:
    assert list(estimate(LightningTrain(), {"model": None, "data": None})) == []
