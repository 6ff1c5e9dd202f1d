"""What goes wrong in the midst of a training is told with its rows, and what was learned before is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain, Lora
from llmops_lightning.replicated import Replicated
from llmops_lightning.sft import SftObjective
from llmops_lightning.train import train

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]
POISON = "~"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_loss_that_is_no_number_names_the_row_that_makes_it_and_keeps_the_last_good_checkpoint(
    base: Model,
    dialogue: Callable[..., dict[str, Any]],
    make_data: Callable[..., Dataset],
    make_run: MakeRun,
    settings: Settings,
    tokenizer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [dialogue(f"what is {n}?", f"it is {n}" + POISON * (n == 16)) for n in range(24)]
    loss = SftObjective.loss
    (poison,) = tokenizer(POISON)["input_ids"]

    def poisoned(objective: SftObjective, model: Any, batch: Any) -> Any:
        found = loss(objective, model, batch)
        return found * float("nan") if (batch["ids"] == poison).any() else found

    monkeypatch.setattr(SftObjective, "loss", poisoned)
    run = make_run()
    with pytest.raises(StepError, match="the loss is nan at optimizer step") as raised:
        train(
            settings(checkpoint_every=1, max_steps=None),
            run,
            model=base,
            data=make_data(tmp_path / "data", rows, []),
        )
    step, named = re.findall(r"step (\d+), on the rows ([\d, ]+)\.", str(raised.value))[0]
    assert len(named.split(", ")) == 4
    assert "17" in named.split(", ")
    newest = max(run.scratch.glob("step-*.ckpt"))
    assert int(newest.stem.removeprefix("step-")) == int(step) - 1
    kept = torch.load(newest, weights_only=True)["weights"]
    assert all(bool(torch.isfinite(one).all()) for one in kept.values())


def test_out_of_memory_keeps_the_checkpoint_and_less_at_once_goes_on_from_it(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients, calls = Replicated.gradients, []

    def starved(spread: Replicated, batches: Any, weight: int) -> float:
        calls.append(weight)
        if len(calls) == 4:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
            )
        return gradients(spread, batches, weight)

    monkeypatch.setattr(Replicated, "gradients", starved)
    run, told = make_run("starved"), []
    with pytest.raises(StepError, match=r"out of memory: .* The last checkpoint is kept"):
        train(settings(checkpoint_every=1), run, model=base, data=data)

    def tell(event: events.Event) -> None:
        told.append(getattr(event, "text", ""))

    again = make_run("again", scratch=run.scratch, tell=tell)
    resumed = train(settings(checkpoint_every=1, threads=1), again, model=base, data=data)
    assert "going on after optimizer step 3 of 6" in told
    undisturbed = train(settings(), make_run("undisturbed"), model=base, data=data)
    assert contents(resumed.folder) == contents(undisturbed.folder)


def test_a_training_that_drops_at_random_goes_on_to_the_same_bytes(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    class StopError(Exception):
        pass

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done == 4:
            raise StopError

    config = settings(tuning=Lora(r=4, dropout=0.3), checkpoint_every=1)
    undisturbed = train(config, make_run("undisturbed"), model=base, data=data)
    first = make_run("first", tell=stop)
    with pytest.raises(StopError):
        train(config, first, model=base, data=data)
    resumed = train(config, make_run("second", scratch=first.scratch), model=base, data=data)
    assert contents(resumed.folder) == contents(undisturbed.folder)
    still = train(settings(checkpoint_every=1), make_run("still"), model=base, data=data)
    assert contents(still.folder) != contents(undisturbed.folder)
