"""Several processes share a training: same plan, same gradients, one output, and none is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning import crew
from llmops_lightning.capabilities import Machine, problems
from llmops_lightning.config import Ddp, Fsdp, Full, LightningTrain, Lora
from llmops_lightning.replicated import Replicated
from llmops_lightning.train import train

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]
TWO = Part("train/strategy", "ddp", Ddp(processes=2, accelerator="cpu"))
FSDP = Part("train/strategy", "fsdp", Fsdp(processes=2, accelerator="cpu"))


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def test_two_processes_give_the_gradients_of_one_and_one_goes_on_where_they_stopped(
    base: Model,
    data: Dataset,
    make_run: MakeRun,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    children: list[Any],
) -> None:
    made: list[torch.Tensor] = []
    clip = Replicated.clip

    def note(spread: Replicated, most: float | None) -> float:
        learning = spread.learner.learning().values()
        made.append(torch.cat([one.grad.flatten() for one in learning if one.grad is not None]))
        return clip(spread, most)

    monkeypatch.setattr(Replicated, "clip", note)
    changes: dict[str, Any] = {
        "validate_every": 3,
        "tuning": Full(),
        "lr": 1e-3,
        "max_steps": 7,
        "epochs": 3,
        "accumulate": 4,
    }
    alone = train(settings(**changes), make_run("alone"), model=base, data=data)
    of_one = list(made)
    made.clear()
    scratch = make_run("unused").scratch

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    config = settings(**changes, strategy=TWO)
    with pytest.raises(KeyboardInterrupt):
        train(config, make_run("stopped", scratch=scratch, tell=stop), model=base, data=data)
    one_process = settings(
        **changes, strategy=Part("train/strategy", "ddp", Ddp(processes=1, accelerator="cpu"))
    )
    shared = train(one_process, make_run("shared", scratch=scratch), model=base, data=data)
    assert len(of_one) == len(made) == 7
    for one, two in zip(of_one, made, strict=True):
        assert torch.allclose(one, two, atol=2e-5)
    assert (shared.folder / "plan.jsonl").read_bytes() == (alone.folder / "plan.jsonl").read_bytes()
    for mine, theirs in zip(curve(alone.folder), curve(shared.folder), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    weights = [load_file(model.folder / "model.safetensors") for model in (alone, shared)]
    assert all(torch.allclose(one, weights[1][name], atol=1e-4) for name, one in weights[0].items())
    assert [child.returncode is not None for child in children] == [True]
    assert {file.suffix for file in scratch.iterdir() if file.is_file()} == {".ckpt", ".json", ".jsonl"}


def test_two_processes_drop_and_add_noise_as_one_does(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    changes: dict[str, Any] = {
        "tuning": Lora(r=4, dropout=0.5),
        "neftune": 5.0,
        "accumulate": 4,
        "max_steps": 3,
    }
    alone = train(settings(**changes), make_run("alone"), model=base, data=data)
    shared = train(settings(**changes, strategy=TWO), make_run("shared"), model=base, data=data)
    weights = [load_file(model.folder / "adapter_model.safetensors") for model in (alone, shared)]
    assert all(torch.allclose(one, weights[1][name], atol=1e-6) for name, one in weights[0].items())


@pytest.mark.parametrize("strategy", [TWO, FSDP], ids=["ddp", "fsdp"])
def test_a_process_that_dies_ends_the_training_with_its_last_words(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, children: list[Any], strategy: Part
) -> None:
    def kill(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done == 1:
            children[0].kill()

    with pytest.raises(StepError, match="process 1 of the training ended with status -9"):
        train(settings(strategy=strategy), make_run(tell=kill), model=base, data=data)


def test_a_process_that_dies_before_it_comes_is_not_waited_for(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew.sys, "executable", shutil.which("false"))
    with pytest.raises(StepError, match="process 1 of the training ended with status 1"):
        train(settings(strategy=TWO), make_run(), model=base, data=data)


def test_a_number_of_processes_that_does_not_divide_the_plan_is_a_problem(settings: Settings) -> None:
    config = settings(strategy=TWO, accumulate=3)
    (problem,) = problems(config, "train", Machine())
    assert (problem.where, "cannot be shared evenly" in problem.what) == ("train.accumulate", True)
