"""The training loop's body: one optimizer step for each batch that Lightning hands over."""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import nn

from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.checkpoints import Checkpoint
from llmops_lightning.config import LightningTrain
from llmops_lightning.isolation import Pack, isolates
from llmops_lightning.objective import Batch, Objective
from llmops_lightning.optimizing import groups_of
from llmops_lightning.planner import Planned
from llmops_lightning.schedules import learning_rate
from llmops_lightning.spread import Learner, MicroBatch, Spread, Weights
from llmops_lightning.team import Team
from llmops_lightning.validation import Validation
from llmops_lightning.watching import best_of, is_over, validated

MOST_NAMED = 12
"""Rows that an error names."""


@dataclass(frozen=True)
class Wishes:
    """What processes would like after a step; above 0: at least one of them does."""

    end: float = 0
    save: float = 0


class Training(lightning.LightningModule):
    """Takes optimizer steps and keeps the curve; the trainer only drives it.

    Optimization is manual because a batch is a whole optimizer step here: its loss is divided by the
    planned tokens of all its micro-batches, which Lightning's own accumulation cannot know.
    """

    def __init__(
        self, network: nn.Module, objective: Objective, config: LightningTrain, run: StepRun
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.learner = Learner(network, objective)
        self.config = config
        self.run = run
        self.total = 0
        self.done = 0
        self.seconds, self.computed = 0.0, 0
        self.rows: list[Mapping[str, float]] = []
        self.learned: Weights = {}
        self.validation = Validation()
        self.packs: Sequence[Pack] = ()
        self.team = Team()
        self.spread: Spread
        self.resumed: Checkpoint | None = None
        self.begin: Callable[[], None] = lambda: None
        self.updating: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self.wishes: Callable[[], Wishes] = Wishes
        self.after_step: Callable[[Wishes], None] = lambda wishes: None
        self.on_best: Callable[[], None] = lambda: None
        self.names: Callable[[Planned], Sequence[int]] = lambda planned: ()
        self.left: Callable[[int], int] = lambda done: 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, where the strategy has it."""
        groups = groups_of(list(self.learner.learning().values()), self.config.weight_decay)
        return self.spread.optimizer(groups, self.config.lr)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Only tensors travel."""
        return {**batch, "batches": on(device, batch["batches"])}

    def on_train_start(self) -> None:
        """Validate before the first step: a broken validation shows now, and the curve has a beginning."""
        self.begin()
        found, self.resumed = self.resumed, None
        self.spread.start(found and found.weights, found and found.state)
        self._expect_isolation()
        self.learner.train()
        self.run.progress(self.done, self.total)
        self._validate_if_due()

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """One optimizer step. Raises StepError when the loss or a gradient is no number."""
        began, planned = time.perf_counter(), batch["planned"]
        rate = learning_rate(self.config, self.done, self.total)
        batches = [replace(one, seed=self._seed(at)) for at, one in enumerate(batch["batches"])]
        own, wishes = self.spread.gradients(batches, planned.loss_tokens), self.wishes()
        loss, *agreed = self.team.sum(own, wishes.end, wishes.save)
        self._check("loss", loss, planned)
        row = {"step": planned.step, "loss": loss, "lr": rate, "tokens": planned.tokens}
        with self.updating():
            self._check("gradient", self.spread.step(rate, self.config.gradient_clip), planned)
            self.done += 1
            self.rows.append({**row, "loss_tokens": planned.loss_tokens})
        self._tell(planned, loss, time.perf_counter() - began)
        self._validate_if_due()
        self.after_step(Wishes(*agreed))
        if is_over(self.rows, self.config.patience) and self.done < self.total:
            self.run.log(f"stopped at step {self.done}: the validation loss no longer falls")
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Take what was learned before the trainer puts its things away."""
        self.learned = self.spread.weights()

    def _seed(self, at: int) -> int:
        """Of one of this process's micro-batches, by its place in the plan, whatever process computes it."""
        place = at * self.team.size + self.team.rank
        # of more bits a CPU would use the lower 32 alone
        return random.Random(f"{self.run.seed} {self.done} {place}").getrandbits(32)

    def _tell(self, planned: Planned, loss: float, seconds: float) -> None:
        self.run.metric("loss", loss, at=self.done)
        self.seconds += seconds
        self.computed += planned.padded_tokens
        left = self.left(self.done) * self.seconds / self.computed
        numbers = {"loss": loss, "tok/s": planned.tokens / seconds, "s left": left}
        self.run.progress(self.done, self.total, **numbers)

    def _check(self, what: str, value: float, planned: Planned) -> None:
        if math.isfinite(value):
            return
        rows = sorted(self.names(planned))
        named = ", ".join(map(str, rows[:MOST_NAMED])) + (", ..." if len(rows) > MOST_NAMED else "")
        raise StepError(
            f"the {what} is {value} at optimizer step {planned.step}, on the rows {named}",
            where=self.run.step,
            remedy="Look at those rows; lower lr, raise warmup_steps, or lower gradient_clip. The last good "
            "checkpoint is kept.",
        )

    def _validate_if_due(self) -> None:
        every, done = self.config.validate_every, self.done
        due = done in (0, self.total) or (every is not None and done % every == 0)
        if self.validation.weight and due and not validated(self.rows, done):
            self._validate()

    def _expect_isolation(self) -> None:
        def loss(batch: Batch) -> float:
            return self.spread.loss(on(self.device, [MicroBatch(batch)]))

        if not self.packs:
            return
        with self.trainer.precision_plugin.forward_context(), evaluating(self.learner):
            isolated = isolates(loss, self.learner.objective, self.packs)
        if not isolated:
            raise StepError(
                "the examples of a pack would see each other with this model and this attention",
                where=self.run.step,
                remedy=f"Set {self.run.step}.batching=buckets, or another attention.",
            )

    def _validate(self) -> None:
        batches = on(self.device, self.validation.batches)
        with self.trainer.precision_plugin.forward_context(), evaluating(self.learner):
            (total,) = self.team.sum(self.spread.loss(batches))
        loss = total / self.validation.weight
        if not math.isfinite(loss):
            raise StepError(
                f"the validation loss is {loss} after optimizer step {self.done}",
                where=self.run.step,
                remedy="Lower lr or raise warmup_steps. The last good checkpoint is kept.",
            )
        row = {"step": self.done, "validation_loss": loss}
        best = best_of([*self.rows, row])
        if best is not None and best.since == 0:
            self.on_best()
        # only now: a checkpoint may be written at any moment, and the best step it tells of must be kept
        self.rows.append(row)
        self.run.metric("validation_loss", loss, at=self.done)


def on(device: torch.device, batches: Sequence[MicroBatch]) -> Sequence[MicroBatch]:
    """The micro-batches' tensors on a device."""
    return [
        replace(one, batch={name: tensor.to(device) for name, tensor in one.batch.items()}) for one in batches
    ]


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network as it answers, not as it learns."""
    network.eval()
    try:
        yield
    finally:
        network.train()
