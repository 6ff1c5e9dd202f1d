"""Every strategy trains as one process does: same gradients, same weights, and each goes on from another's
checkpoints. A strategy is added here as a parameter."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning.config import Fsdp, Full, LightningTrain, Lora, Zero, Zero2, Zero3
from llmops_lightning.train import train
from llmops_lightning.weights import load_network

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]
Gradients = Mapping[int, Mapping[str, torch.Tensor]]

FSDP = Part("train/strategy", "fsdp", Fsdp(processes=2, accelerator="cpu"))
FSDP_ONCE = Part("train/strategy", "fsdp", Fsdp(processes=2, accelerator="cpu", reduce="step", offload="cpu"))
ZERO_1 = Part("train/strategy", "deepspeed_zero1", Zero(processes=2, accelerator="cpu"))
ZERO_2 = Part("train/strategy", "deepspeed_zero2", Zero2(processes=2, accelerator="cpu", offload="cpu"))
ZERO_3 = Part("train/strategy", "deepspeed_zero3", Zero3(processes=2, accelerator="cpu"))
OFFLOADED = Zero3(processes=2, accelerator="cpu", offload="cpu", offload_weights="cpu")
ZERO_3_OFFLOADED = Part("train/strategy", "deepspeed_zero3", OFFLOADED)
STRATEGIES = [
    pytest.param(FSDP, FSDP_ONCE, id="fsdp"),
    pytest.param(ZERO_1, ZERO_2, id="zero1and2"),
    pytest.param(ZERO_3, ZERO_3_OFFLOADED, id="zero3"),
]
"""Of each strategy: two processes, and two with its other choices."""

ROWS = 22
"""Steps of eight leave a window of six rows: three micro-batches, which two processes cannot share evenly."""


@pytest.fixture
def uneven(make_data: Callable[..., Dataset], dialogue: Callable[..., Any], tmp_path: Path) -> Dataset:
    rows = [dialogue(f"ask {n}", "word " * (1 + n % 4)) for n in range(ROWS)]
    return make_data(tmp_path / "uneven", rows, rows[:5])


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def gradients_in(scratch: Path) -> Gradients:
    """What each step's gradients were, by the first moments around it in checkpoints."""
    found: dict[int, Mapping[str, torch.Tensor]] = {}
    before: dict[str, torch.Tensor] = {}
    for file in sorted(scratch.glob("step-*.ckpt")):
        saved = torch.load(file, weights_only=True)
        moments = {name: one["exp_avg"] for name, one in saved["state"].items()}
        if before or saved["step"] == 1:
            last = {name: before.get(name, torch.zeros_like(one)) for name, one in moments.items()}
            found[saved["step"]] = {name: (one - 0.9 * last[name]) / 0.1 for name, one in moments.items()}
        before = moments
    return found


def expect_same(found: Gradients, expected: Gradients) -> None:
    for step, gradients in found.items():
        assert gradients.keys() == expected[step].keys()
        assert max(float(one.abs().max()) for one in gradients.values()) > 1e-3
        for name, one in gradients.items():
            assert torch.allclose(one, expected[step][name], atol=2e-5), (step, name)


def learned_by(model: Model) -> dict[str, torch.Tensor]:
    return dict(load_network(model).state_dict())


def stopping(at: int) -> Callable[[events.Event], None]:
    def tell(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done == at:
            os.kill(os.getpid(), signal.SIGTERM)

    return tell


CHANGES: dict[str, Any] = {
    "max_steps": None,
    "epochs": 2,
    "batch_size": 2,
    "accumulate": 4,
    "gradient_clip": None,
    "checkpoint_every": 1,
    "checkpoints_kept": 100,
    "validate_every": 2,
    "lr": 1e-3,
}


@pytest.mark.parametrize(("strategy", "other"), STRATEGIES)
def test_all_weights_learn_as_in_one_process_which_goes_on_where_several_were_told_to_end(
    base: Model,
    uneven: Dataset,
    make_run: MakeRun,
    settings: Settings,
    children: list[Any],
    strategy: Part,
    other: Part,
) -> None:
    # a norm that every step exceeds: it must be that of all gradients, over the processes
    changes = {**CHANGES, "gradient_clip": 0.3}
    plain = settings(tuning=Full(), **changes)
    alone = train(plain, make_run("alone"), model=base, data=uneven)
    expected = gradients_in(make_run("unused").scratch.parent / "alone-scratch")
    assert list(expected) == [1, 2, 3, 4, 5]
    scratch = make_run("kept").scratch
    shared = settings(tuning=Full(), **changes, strategy=strategy)
    with pytest.raises(KeyboardInterrupt):
        train(shared, make_run("stopped", scratch=scratch, tell=stopping(3)), model=base, data=uneven)
    found = gradients_in(scratch)
    assert list(found) == [1, 2, 3, 4]  # told after the third, all agreed on ending after the fourth
    expect_same(found, expected)
    assert [child.returncode is not None for child in children] == [True]
    resumed = train(plain, make_run("resumed", scratch=scratch), model=base, data=uneven)
    expect_same(gradients_in(scratch), expected)
    for mine, theirs in zip(curve(resumed.folder), curve(alone.folder), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    weights = learned_by(alone)
    assert all(torch.allclose(one, weights[name], atol=1e-4) for name, one in learned_by(resumed).items())


@pytest.mark.parametrize(("strategy", "other"), STRATEGIES)
def test_adapters_learn_as_in_one_process_where_several_go_on_from_its_checkpoint(
    base: Model, uneven: Dataset, make_run: MakeRun, settings: Settings, strategy: Part, other: Part
) -> None:
    tuning = Lora(r=4, dropout=0.2, dora=True, merge=True, targets=("all-linear",))
    plain = settings(tuning=tuning, keep="best", neftune=5.0, **CHANGES)
    alone = train(plain, make_run("alone"), model=base, data=uneven)
    expected = gradients_in(make_run("unused").scratch.parent / "alone-scratch")
    scratch = make_run("kept").scratch
    with pytest.raises(KeyboardInterrupt):
        again = dataclasses.replace(plain, recompute=True)
        train(again, make_run("stopped", scratch=scratch, tell=stopping(2)), model=base, data=uneven)
    left = torch.load(scratch / "step-00000002.ckpt", weights_only=True)
    assert all("lora" in name for name in left["weights"]), "frozen weights are not in checkpoints"
    shared = dataclasses.replace(again, strategy=other)
    resumed = train(shared, make_run("resumed", scratch=scratch), model=base, data=uneven)
    found = gradients_in(scratch)
    assert list(found) == [1, 2, 3, 4, 5]
    expect_same(found, expected)
    for mine, theirs in zip(curve(resumed.folder), curve(alone.folder), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    weights = learned_by(alone)
    assert all(torch.allclose(one, weights[name], atol=1e-4) for name, one in learned_by(resumed).items())
