"""Saving, stopping and keeping: what a training leaves when it ends as planned, early, or by force."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning import checkpoints
from llmops_lightning.config import Full, LightningTrain
from llmops_lightning.noise import noisy_embeddings
from llmops_lightning.optimizing import groups_of
from llmops_lightning.preemption import Preemption
from llmops_lightning.replicated import Replicated
from llmops_lightning.spread import MicroBatch, seeded
from llmops_lightning.train import train
from llmops_lightning.watching import Best, best_of, is_over

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def at_step(step: int, act: Callable[[], Any]) -> Callable[[events.Event], None]:
    def tell(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done == step:
            act()

    return tell


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_training_told_to_end_saves_where_it_is_and_goes_on_from_there(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, number: signal.Signals
) -> None:
    config = settings(checkpoint_every=1000, validate_every=2)
    undisturbed = train(config, make_run("undisturbed"), model=base, data=data)
    before = signal.getsignal(number)
    kill = at_step(4, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt):
        train(config, make_run("stopped", tell=kill), model=base, data=data)
    assert signal.getsignal(number) is before
    scratch = make_run("unused").scratch.parent / "stopped-scratch"
    assert [file.name for file in scratch.glob("*.ckpt")] == ["step-00000004.ckpt"]
    resumed = train(config, make_run("resumed", scratch=scratch), model=base, data=data)
    assert contents(resumed.folder) == contents(undisturbed.folder)


def test_the_end_is_heard_while_the_main_thread_computes_and_waits_only_for_an_update() -> None:
    saved: list[str] = []
    done = threading.Event()

    def save() -> None:
        saved.append("update over" if done.is_set() else "in the update")

    with pytest.raises(KeyboardInterrupt), Preemption(save) as preemption:
        preemption.begin()
        with preemption.updating():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            assert saved == []
            done.set()
    assert saved == ["update over"]


def test_a_training_told_to_end_while_it_saves_ends_with_that_checkpoint_whole(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoints.write

    def told(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        write(*arguments)

    monkeypatch.setattr(checkpoints, "write", told)
    run = make_run("run")
    with pytest.raises(KeyboardInterrupt):
        train(settings(checkpoint_every=2), run, model=base, data=data)
    assert [file.name for file in run.scratch.glob("*.ckpt")] == ["step-00000002.ckpt"]


def test_a_training_told_to_end_before_it_goes_on_leaves_its_checkpoint_as_it_is(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, scratch = settings(checkpoint_every=1000), make_run("unused").scratch
    kill = at_step(4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train(config, make_run("stopped", scratch=scratch, tell=kill), model=base, data=data)
    before = (scratch / "step-00000004.ckpt").read_bytes()

    def told(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Replicated, "start", told)
    with pytest.raises(KeyboardInterrupt):
        train(config, make_run("again", scratch=scratch), model=base, data=data)
    assert (scratch / "step-00000004.ckpt").read_bytes() == before


def test_the_best_weights_that_a_checkpoint_tells_of_are_there(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    def kill(event: events.Event) -> None:
        if isinstance(event, events.Metric) and (event.name, event.at) == ("validation_loss", 2):
            os.kill(os.getpid(), signal.SIGTERM)

    run = make_run("run", tell=kill)
    with pytest.raises(KeyboardInterrupt):
        train(settings(keep="best", validate_every=2), run, model=base, data=data)
    saved = torch.load(run.scratch / "step-00000002.ckpt", weights_only=True)
    best = best_of(saved["rows"])
    assert best is not None and best.step == 2
    assert (run.scratch / "best-00000002.ckpt").exists()


def test_every_micro_batch_draws_random_numbers_of_its_own(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients, drawn = Replicated.gradients, []

    def note(spread: Replicated, batches: Sequence[MicroBatch], weight: int) -> float:
        drawn.extend(float(torch.rand(())) for _ in seeded(batches))
        return gradients(spread, batches, weight)

    monkeypatch.setattr(Replicated, "gradients", note)
    train(settings(accumulate=4, max_steps=3), make_run(), model=base, data=data)
    assert len(set(drawn)) == len(drawn) == 12


def test_checkpoints_come_with_time_too_and_only_the_newest_stay(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    seen: list[list[str]] = []
    scratch = make_run("unused").scratch
    look = at_step(6, lambda: seen.append(sorted(file.name for file in scratch.glob("*.ckpt"))))
    config = settings(checkpoint_every=1000, checkpoint_minutes=1e-9, checkpoints_kept=3)
    train(config, make_run("run", scratch=scratch, tell=look), model=base, data=data)
    assert seen == [[f"step-{step:08}.ckpt" for step in (3, 4, 5)]]


def test_a_training_that_no_longer_improves_stops_and_keeps_its_best_weights(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    config = settings(
        lr=1.0, warmup_steps=0, gradient_clip=None, tuning=Full(), validate_every=1, patience=2, max_steps=6
    )
    stopped = train(config, make_run("stopped"), model=base, data=data)
    losses = [row["validation_loss"] for row in curve(stopped.folder) if "validation_loss" in row]
    assert len(losses) == 3  # before the first step, and two that are worse
    assert losses[0] < min(losses[1:])
    best = settings(**{**vars(config), "tuning": Full(), "keep": "best"})
    kept = train(best, make_run("kept"), model=base, data=data)
    again = train(settings(tuning=Full(), max_steps=1), make_run("again"), model=kept, data=data)
    assert curve(again.folder)[0]["validation_loss"] == losses[0]


def test_the_best_is_the_first_of_the_lowest() -> None:
    rows = [{"step": at, "validation_loss": loss} for at, loss in enumerate([3.0, 2.0, 2.5, 2.0])]
    assert best_of(rows) == Best(step=1, loss=2.0, since=2)
    assert is_over(rows, 2) and not is_over(rows, 3) and not is_over(rows, None)
    assert best_of([{"step": 1, "loss": 1.0}]) is None


def test_a_gradient_that_is_no_number_names_the_rows_and_leaves_the_checkpoints(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = make_run("unused").scratch
    clip, calls = Replicated.clip, []

    def broken(spread: Replicated, most: float | None) -> float:
        calls.append(most)
        return float("nan") if len(calls) == 4 else clip(spread, most)

    monkeypatch.setattr(Replicated, "clip", broken)
    run = make_run("run", scratch=scratch)
    with pytest.raises(
        StepError, match=r"the gradient is nan at optimizer step 4, on the rows (\d+, ){3}\d+\."
    ):
        train(settings(checkpoint_every=1), run, model=base, data=data)
    assert sorted(file.name for file in scratch.glob("*.ckpt")) == [
        "step-00000002.ckpt",
        "step-00000003.ckpt",
    ]


def test_decay_touches_matrices_only() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    groups = groups_of(list(network.parameters()), 0.1)
    decayed = {id(one): group["weight_decay"] for group in groups for one in group["params"]}
    assert decayed[id(network[0].weight)] == 0.1
    assert {decayed[id(one)] for one in (network[0].bias, network[1].weight, network[1].bias)} == {0.0}


def test_noise_is_on_the_embeddings_while_learning_only() -> None:
    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 4)

        def get_input_embeddings(self) -> nn.Module:
            return self.words

    network, ids = Tiny(), torch.zeros(2, 9, dtype=torch.long)
    plain = network.words(ids)
    with noisy_embeddings(network, 6.0):
        noise = network.words(ids) - plain
        assert 0.5 < noise.abs().max() <= 6 / 6 + 1e-6  # alpha / sqrt(9 * 4)
        network.eval()
        assert torch.equal(network.words(ids), plain)
    network.train()
    assert torch.equal(network.words(ids), plain)


def test_a_noisy_training_repeats_itself(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    one = train(settings(neftune=5.0), make_run("one"), model=base, data=data)
    two = train(settings(neftune=5.0), make_run("two"), model=base, data=data)
    plain = train(settings(), make_run("plain"), model=base, data=data)
    assert contents(one.folder) == contents(two.folder)
    assert contents(one.folder) != contents(plain.folder)
