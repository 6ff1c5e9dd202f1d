"""What DeepSpeed alone needs looking at; test_strategies.py tries its strategies in two processes."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import distributed

from llmops_core import plugins
from llmops_core.artifacts import Dataset, Model
from llmops_core.check import check
from llmops_core.errors import RecipeError, StepError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning.config import Full, LightningTrain, Lora, Zero, Zero2, Zero3
from llmops_lightning.deepspeed_engine import settings as engine_settings
from llmops_lightning.train import train
from tests.llmops_lightning.test_strategies import CHANGES, ROWS, expect_same, gradients_in

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]
STAGES = (
    Part("train/strategy", "deepspeed_zero1", Zero(processes=1, accelerator="cpu")),
    Part("train/strategy", "deepspeed_zero2", Zero2(processes=1, accelerator="cpu")),
    Part("train/strategy", "deepspeed_zero3", Zero3(processes=1, accelerator="cpu")),
)


@pytest.fixture
def rows(make_data: Callable[..., Dataset], dialogue: Callable[..., Any], tmp_path: Path) -> Dataset:
    made = [dialogue(f"ask {n}", "word " * (1 + n % 4)) for n in range(ROWS)]
    return make_data(tmp_path / "rows", made, made[:5])


@pytest.mark.parametrize("tuning", [Full(), Lora(r=4)], ids=["all weights", "adapters"])
def test_each_stage_has_the_gradients_of_one_process_whatever_is_accumulated(
    base: Model, rows: Dataset, make_run: MakeRun, settings: Settings, tmp_path: Path, tuning: Full | Lora
) -> None:
    changes = {**CHANGES, "max_steps": 4, "validation_rows": 0, "tuning": tuning}
    train(settings(**changes), make_run("alone"), model=base, data=rows)
    expected = gradients_in(tmp_path / "alone-scratch")
    for strategy in STAGES:
        for size, accumulate in ((8, 1), (2, 4)):
            name = f"{strategy.use}-{accumulate}"
            split = {**changes, "batch_size": size, "accumulate": accumulate, "strategy": strategy}
            train(settings(**split), make_run(name), model=base, data=rows)
            found = gradients_in(tmp_path / f"{name}-scratch")
            assert list(found) == [1, 2, 3], "one of these is an epoch's last, of fewer rows"
            expect_same(found, expected)


def test_gradients_that_are_no_numbers_end_a_training_that_leaves_nothing_behind(
    base: Model, rows: Dataset, make_run: MakeRun, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    linear = torch.nn.functional.linear
    for strategy in STAGES[1:]:
        changes = {**CHANGES, "lr": 1e30, "warmup_steps": 0, "gradient_clip": None, "validation_rows": 0}
        with pytest.raises(StepError, match=r"the (gradient|loss) is (inf|nan) at optimizer step \d"):
            config = settings(tuning=Full(), strategy=strategy, **changes)
            train(config, make_run(strategy.use), model=base, data=rows)
        assert not distributed.is_initialized()
    assert not {"LOCAL_RANK", "DS_ACCELERATOR", "TORCHDYNAMO_DISABLE"} & set(os.environ)
    assert torch.nn.functional.linear is linear
    assert capfd.readouterr().out == ""


def test_mixed_precision_and_frozen_weights_in_bf16_learn_as_in_one_process(
    base: Model, rows: Dataset, make_run: MakeRun, settings: Settings, tmp_path: Path
) -> None:
    tuning = Lora(r=4, frozen="bf16")
    changes = {**CHANGES, "epochs": 1, "max_steps": 2, "precision": "bf16", "tuning": tuning}
    train(settings(**changes), make_run("alone"), model=base, data=rows)
    for strategy in STAGES[1:]:
        train(settings(**changes, strategy=strategy), make_run(strategy.use), model=base, data=rows)
        expect_same(
            gradients_in(tmp_path / f"{strategy.use}-scratch"), gradients_in(tmp_path / "alone-scratch")
        )


def test_what_is_offloaded_to_a_disk_is_said_in_deepspeeds_own_words() -> None:
    from deepspeed.runtime.zero.config import get_zero_config

    chosen = Zero3(offload="nvme", offload_weights="nvme", nvme_path="/fast")
    network: Any = torch.nn.Linear(30, 20)
    made = get_zero_config(dict(engine_settings(network, chosen, on_gpu=True)))
    for place in (made.offload_optimizer, made.offload_param):
        assert (place.device, str(place.nvme_path), place.pin_memory) == ("nvme", "/fast", True)
    assert made.param_persistence_threshold < 30 * 20, "the largest weights must be divided"


def test_a_plain_training_does_not_import_deepspeed_where_it_is_installed(
    base: Model, rows: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = ModuleType("deepspeed")
    empty.__spec__ = importlib.machinery.ModuleSpec("deepspeed", None)
    monkeypatch.setitem(sys.modules, "deepspeed", empty)  # whoever takes anything from it fails
    train(settings(tuning=Full(), max_steps=1), make_run(), model=base, data=rows)


def test_a_recipe_checked_without_deepspeed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    there = plugins._importable
    monkeypatch.setattr(plugins, "_importable", lambda name: name != "deepspeed" and there(name))
    with pytest.raises(RecipeError) as caught:
        check("quickstart", ["train.strategy=deepspeed_zero3"], plugins.load())
    (problem,) = caught.value.problems
    assert "deepspeed" in problem.what and "llmops[deepspeed]" in problem.remedy
