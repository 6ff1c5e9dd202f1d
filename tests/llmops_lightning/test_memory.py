"""What a training needs of memory: estimated, decided by, and recorded beside what was held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning import memory, running
from llmops_lightning.config import Ddp, Fsdp, Full, LightningTrain, Lora, Zero, Zero2, Zero3
from llmops_lightning.estimate import estimate, memory_needed, recomputing
from llmops_lightning.train import train

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]
ADAPTER = "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("written", "gigabytes", "decided"),
    [("auto", 1000, False), ("auto", 2, True), (True, 1000, True), (False, 2, False)],
)
def test_activations_are_computed_again_where_they_must_be(
    settings: Settings, written: Any, gigabytes: float, decided: bool
) -> None:
    found = recomputing(settings(recompute=written), 10**8, 4096, gigabytes * 1e9)
    assert found.recompute is decided
    assert memory_needed(settings(recompute=True), 10**8, 4096) < 0.6 * memory_needed(settings(), 10**8, 4096)


@pytest.mark.parametrize(
    ("changes", "gigabytes"),
    [
        ({"tuning": Full()}, 16),
        ({"tuning": Full(), "optimizer": "adamw8bit"}, 10),
        ({}, 4),
        ({"tuning": Lora(frozen="bf16")}, 2),
        ({"tuning": Lora(quantise="nf4")}, 0.6),
    ],
)
def test_weights_count_with_the_bytes_that_they_and_their_optimizer_are_held_in(
    settings: Settings, changes: dict[str, Any], gigabytes: float
) -> None:
    config = settings(**changes)
    held = memory_needed(config, 10**9, 0) - memory_needed(config, 0, 0)
    assert held == pytest.approx(gigabytes * 1e9)


def test_the_plan_estimates_what_auto_would_come_to(
    settings: Settings, data: Dataset, base: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = Model(folder=base.folder, name="big", parameters=10**9, context=4096)

    def said(written: Any) -> float:
        config = settings(recompute=written, batch_size=64)
        (found,) = [one for one in estimate(config, {"model": big, "data": data}) if one.what == "memory"]
        return found.value

    enough = int(said(False)) + 1
    monkeypatch.setattr("llmops_lightning.estimate.whole_memory", lambda: enough)
    assert said("auto") == said(False)
    monkeypatch.setattr("llmops_lightning.estimate.whole_memory", lambda: 10**9)
    assert said("auto") == said(True) < said(False)


def test_auto_turns_it_on_where_memory_is_short_says_so_and_learns_the_same(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned: list[bool] = []
    recompute = running.recompute

    def noted(network: Any, *, random: bool) -> None:
        turned.append(random)
        recompute(network, random=random)

    def tuned(name: str, written: Any, have: float) -> tuple[bytes, list[Any]]:
        told: list[Any] = []
        monkeypatch.setattr(memory, "device_memory", lambda config: have)
        run = make_run(name, tell=told.append)
        model = train(settings(recompute=written), run, model=base, data=data)
        return (model.folder / ADAPTER).read_bytes(), told

    monkeypatch.setattr(running, "recompute", noted)
    plain, _ = tuned("plain", False, 1.0)
    roomy, _ = tuned("roomy", "auto", 1e12)
    assert turned == []
    short, told = tuned("short", "auto", 5e8)
    assert turned == [False]
    assert plain == roomy == short
    (line,) = [one.text for one in told if isinstance(one, events.Log) and "again" in one.text]
    assert line == "activations are computed again: to keep them 1 GB would be needed, and there are 0.5 GB"


def test_what_was_held_is_recorded_beside_what_was_estimated(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    told: list[Any] = []
    train(settings(max_steps=2), make_run(tell=told.append), model=base, data=data)
    numbers = {one.name: one.value for one in told if isinstance(one, events.Metric)}
    assert numbers["memory_estimated"] > 1e9
    assert 1e8 < numbers["memory_held"] < 5e9


def test_what_processes_share_is_estimated_for_one_of_them(settings: Settings) -> None:
    weights = 10**9

    def gigabytes(use: str, chosen: Any) -> float:
        config = settings(tuning=Full(), strategy=Part("train/strategy", use, chosen))
        return (memory_needed(config, weights, 0) - memory_needed(settings(), 0, 0)) / 1e9

    assert gigabytes("ddp", Ddp(processes=4)) == 16
    assert gigabytes("deepspeed_zero1", Zero(processes=4)) == 8 + 3
    assert gigabytes("deepspeed_zero2", Zero2(processes=4)) == 4 + 4
    assert gigabytes("deepspeed_zero3", Zero3(processes=2)) == gigabytes("fsdp", Fsdp(processes=2)) == 8
    assert gigabytes("fsdp", Fsdp(processes=64)) == 4, "the weights are read before they are shared"
