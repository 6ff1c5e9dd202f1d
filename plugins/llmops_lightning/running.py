"""Goes through the planned steps that are left, leaving checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from llmops_lightning import checkpoints
from llmops_lightning.batches import StepLoader
from llmops_lightning.checkpoints import Checkpoint
from llmops_lightning.fitting import fit
from llmops_lightning.gradients import Threads
from llmops_lightning.machine import available_cores
from llmops_lightning.module import Training
from llmops_lightning.strategy import Strategy


def run_steps(
    training: Training, loader: StepLoader, strategy: Strategy, known: Mapping[str, str], *, at_once: bool
) -> None:
    """Take every step of the loader's plan that the newest checkpoint has not.

    `known` tells this training from others. `at_once`: the tuning draws no random numbers, so that
    micro-batches may run at once.
    """
    config, run = training.config, training.run
    training.total, training.left = len(loader.plan), loader.plan.left
    training.names = lambda planned: sorted(
        {int(loader.examples.rows[at]) for batch in planned.batches for row in batch for at in row}
    )
    _resume(training, checkpoints.read(run.scratch, known, run.warn))
    loader.start = training.done

    def after_step(training: Training) -> None:
        if training.done % config.checkpoint_every == 0 and training.done < training.total:
            checkpoints.write(run.scratch, _checkpoint(training), known)

    training.after_step = after_step
    if strategy.at_once and at_once and config.precision == "fp32":
        training.threads = Threads(min(config.accumulate, available_cores()), config.threads)
    try:
        fit(training, loader, strategy)
    finally:
        if training.threads is not None:
            training.threads.close()


def _checkpoint(training: Training) -> Checkpoint:
    optimizer: Any = training.optimizers()
    weights = {name: one.detach() for name, one in training.learning().items()}
    return Checkpoint(training.done, weights, optimizer.optimizer.state_dict(), list(training.rows))


def _resume(training: Training, found: Checkpoint | None) -> None:
    if found is None:
        return
    training.run.log(f"going on after optimizer step {found.step} of {training.total}")
    learning = training.learning()
    with torch.no_grad():
        for name, tensor in found.weights.items():
            learning[name].copy_(tensor)
    training.done, training.rows, training.resumed = found.step, list(found.rows), found
