"""Goes through the planned steps that are left, leaving checkpoints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from llmops_core.errors import StepError
from llmops_lightning import checkpoints
from llmops_lightning.batches import StepLoader
from llmops_lightning.checkpoints import Checkpoint
from llmops_lightning.fitting import fit
from llmops_lightning.isolation import first_packs
from llmops_lightning.memory import peak, recomputes
from llmops_lightning.module import Training, Wishes
from llmops_lightning.network_modes import computing, draws_random_numbers, recompute
from llmops_lightning.noise import noisy_embeddings
from llmops_lightning.preemption import Preemption
from llmops_lightning.spread import Weights
from llmops_lightning.strategy import Strategy
from llmops_lightning.watching import best_of, is_over


def run_steps(
    training: Training, loader: StepLoader, strategy: Strategy, known: Mapping[str, str]
) -> Weights:
    """Take every step of the loader's plan that the newest checkpoint has not; gives what was learned.

    `known` tells this training from others.
    """
    config, run, network = training.config, training.run, training.learner.network
    training.total, training.left = len(loader.plan), loader.plan.left
    training.names = lambda planned: sorted(
        {int(loader.examples.rows[at]) for batch in planned.batches for row in batch for at in row}
    )
    found = checkpoints.read(run.scratch, known, run.warn)
    _expect_same(training, found.step if found is not None else 0)
    if found is not None:
        run.log(f"going on after optimizer step {found.step} of {training.total}")
        training.done, training.rows, training.resumed = found.step, list(found.rows), found
    loader.start = training.done
    if recomputes(training, loader.plan.summary["worst_batch"]):
        recompute(network, random=config.neftune > 0 or draws_random_numbers(network))
    if config.batching == "packs":
        training.packs = first_packs(loader)
    lengths = loader.examples.lengths
    with computing(network, config, run, one_shape=int(lengths.min()) == int(lengths.max())):
        _take_steps(training, loader, strategy, Keeper(training, known, last=training.done))
    if training.team.leads:
        run.metric("memory_held", peak())
    return kept(training)


def _expect_same(training: Training, step: int) -> None:
    """All processes must go on from one checkpoint. Raises StepError where one sees other files."""
    mine, team = float(step), training.team
    (whole,) = team.sum(mine if team.leads else 0.0)
    (others,) = team.sum(float(mine != whole))
    if others:
        raise StepError(
            f"the newest checkpoint is of step {whole:.0f}, and {others:.0f} of {team.size} processes "
            "read another one",
            where=training.run.step,
            remedy="All machines must see the same store: look at how it is shared.",
        )


def _take_steps(training: Training, loader: StepLoader, strategy: Strategy, keeper: Keeper) -> None:
    config, network, found = training.config, training.learner.network, training.resumed
    training.spread = strategy.spread(training.learner, config, training.team)
    preemption = Preemption(keeper.save, together=not training.spread.reads_alone)
    with contextlib.closing(training.spread), preemption, noisy_embeddings(network, config.neftune):
        training.begin, training.updating = preemption.begin, preemption.updating
        training.wishes = lambda: Wishes(float(preemption.told), float(keeper.is_late()))
        training.after_step, training.on_best = keeper.after_step, keeper.keep_best
        if found is not None and (found.step == training.total or is_over(found.rows, config.patience)):
            training.learned = found.weights
        else:
            fit(training, loader)


def kept(training: Training) -> Weights:
    """The weights that come out: the last ones, or those with the lowest validation loss."""
    best = best_of(training.rows)
    if training.config.keep == "last" or best is None or best.step == training.done:
        return training.learned
    training.run.log(f"kept the weights of step {best.step}, whose validation loss was lowest")
    return checkpoints.read_best(training.run.scratch, best.step) if training.team.leads else {}


@dataclass
class Keeper:
    """Writes a training's checkpoints when they are due.

    All processes ask for the weights together, and the leading one writes.
    """

    training: Training
    known: Mapping[str, str]
    written: float = field(default_factory=time.monotonic)
    last: int = 0
    """The step of the newest checkpoint; 0: there is none."""

    def is_late(self) -> bool:
        """Whether the longest time between checkpoints is over, by the leading process's clock."""
        minutes = self.training.config.checkpoint_minutes
        waited = minutes is not None and time.monotonic() - self.written >= 60 * minutes
        return waited and self.training.team.leads

    def after_step(self, wishes: Wishes) -> None:
        """Save where a step or time interval is over, or a process is told to end: then all of them do."""
        training = self.training
        due = training.done % training.config.checkpoint_every == 0 or wishes.save > 0
        if wishes.end > 0 or (due and training.done < training.total):
            with training.updating():  # an end that is asked for now waits for this checkpoint
                self.save()
        if wishes.end > 0:
            raise KeyboardInterrupt

    def save(self) -> None:
        """Save now, unless this step is saved, or holds numbers that are none."""
        training = self.training
        if training.done == self.last:
            return
        weights, state = training.spread.weights(), training.spread.state()
        self.last, self.written = training.done, time.monotonic()
        if training.team.leads and all(bool(torch.isfinite(one).all()) for one in weights.values()):
            found = Checkpoint(training.done, weights, state, list(training.rows))
            checkpoints.write(training.run.scratch, found, self.known, training.config.checkpoints_kept)

    def keep_best(self) -> None:
        """Keep the weights of the lowest validation loss so far, where they are asked for."""
        training = self.training
        if training.config.keep == "best":
            weights = training.spread.weights()
            if training.team.leads:
                checkpoints.write_best(training.run.scratch, training.done, weights)
