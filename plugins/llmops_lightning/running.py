"""Goes through the planned steps that are left, leaving checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from llmops_lightning import checkpoints
from llmops_lightning.batches import StepLoader
from llmops_lightning.checkpoints import Checkpoint
from llmops_lightning.fitting import fit
from llmops_lightning.gradients import Threads
from llmops_lightning.machine import available_cores
from llmops_lightning.module import Training
from llmops_lightning.network_modes import draws_random_numbers, recompute
from llmops_lightning.noise import noisy_embeddings
from llmops_lightning.preemption import Preemption
from llmops_lightning.strategy import Strategy
from llmops_lightning.watching import best_of, is_over


def run_steps(training: Training, loader: StepLoader, strategy: Strategy, known: Mapping[str, str]) -> None:
    """Take every step of the loader's plan that the newest checkpoint has not.

    `known` tells this training from others.
    """
    config, run = training.config, training.run
    training.total, training.left = len(loader.plan), loader.plan.left
    training.names = lambda planned: sorted(
        {int(loader.examples.rows[at]) for batch in planned.batches for row in batch for at in row}
    )
    training.validates = bool(training.team.sum(len(training.validation)))
    resume(training, checkpoints.read(run.scratch, known, run.warn))
    loader.start = training.done
    random = config.neftune > 0 or draws_random_numbers(training.network)
    if config.recompute:
        recompute(training.network, random=random)
    if strategy.at_once and config.precision == "fp32" and not random:
        training.threads = Threads(_threads(training), config.threads)
    keeper = Keeper(training, known)
    try:
        with Preemption(keeper.save) as preemption, noisy_embeddings(training.network, config.neftune):
            training.begin, training.updating = preemption.begin, preemption.updating
            training.after_step, training.on_best = keeper.after_step, keeper.keep_best
            if not is_over(training.rows, config.patience):
                fit(training, loader, strategy)
    finally:
        if training.threads is not None:
            training.threads.close()
    if config.keep == "best" and training.team.leads:
        keeper.take_best()


def _threads(training: Training) -> int:
    """As many as this process has micro-batches in a step and cores for."""
    size = training.team.size
    return max(1, min(training.config.accumulate // size, available_cores() // size))


@dataclass
class Keeper:
    """Writes a training's checkpoints when they are due."""

    training: Training
    known: Mapping[str, str]
    written: float = field(default_factory=time.monotonic)
    last: int = -1

    def after_step(self) -> None:
        """Save where a step or time interval is over."""
        training, config = self.training, self.training.config
        minutes = config.checkpoint_minutes
        waited = minutes is not None and time.monotonic() - self.written >= 60 * minutes
        if (training.done % config.checkpoint_every == 0 or waited) and training.done < training.total:
            self.save()

    def save(self) -> None:
        """Save now, unless this step is saved, or holds numbers that are none."""
        training = self.training
        if not training.team.leads or training.done in (0, self.last):
            return
        found = checkpoint(training)
        if all(bool(torch.isfinite(one).all()) for one in found.weights.values()):
            checkpoints.write(training.run.scratch, found, self.known, training.config.checkpoints_kept)
            self.last, self.written = training.done, time.monotonic()

    def keep_best(self) -> None:
        """Keep the weights of the lowest validation loss so far, where they are asked for."""
        training = self.training
        if training.config.keep == "best" and training.team.leads:
            checkpoints.write_best(training.run.scratch, training.done, weights_of(training))

    def take_best(self) -> None:
        """Put the weights of the lowest validation loss into the network."""
        best = best_of(self.training.rows)
        if best is None or best.step == self.training.done:
            return
        found = checkpoints.read_best(self.training.run.scratch, best.step)
        put(self.training, found)
        self.training.run.log(f"kept the weights of step {best.step}, whose validation loss was lowest")


def weights_of(training: Training) -> Mapping[str, torch.Tensor]:
    """What learns, by name."""
    return {name: one.detach() for name, one in training.learning().items()}


def checkpoint(training: Training) -> Checkpoint:
    """The training as it is between two optimizer steps."""
    optimizer: Any = training.optimizers()
    return Checkpoint(
        training.done, weights_of(training), optimizer.optimizer.state_dict(), list(training.rows)
    )


def resume(training: Training, found: Checkpoint | None) -> None:
    """Put the training where a checkpoint is."""
    if found is None:
        return
    training.run.log(f"going on after optimizer step {found.step} of {training.total}")
    put(training, found.weights)
    training.done, training.rows, training.resumed = found.step, list(found.rows), found


def put(training: Training, weights: Mapping[str, torch.Tensor]) -> None:
    """Overwrite what learns."""
    learning = training.learning()
    with torch.no_grad():
        for name, tensor in weights.items():
            learning[name].copy_(tensor)
