"""The training loop's body: one optimizer step for each batch that Lightning hands over."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import nn

from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.checkpoints import Checkpoint
from llmops_lightning.config import LightningTrain
from llmops_lightning.gradients import Threads, set_gradients, summed_loss
from llmops_lightning.objective import Batch, Objective
from llmops_lightning.planner import Planned
from llmops_lightning.schedules import learning_rate
from llmops_lightning.team import Team
from llmops_lightning.watching import best_of, is_over, validated

SEED_STRIDE = 1_000_003
MOST_NAMED = 12
"""Rows that an error names."""


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
        self.network = network
        self.objective = objective
        self.config = config
        self.run = run
        self.total = 0
        self.done = 0
        self.seconds, self.computed = 0.0, 0
        self.rows: list[Mapping[str, float]] = []
        self.validation: Sequence[tuple[Batch, int]] = ()
        self.validates = False
        self.team = Team()
        self.threads: Threads | None = None
        self.resumed: Checkpoint | None = None
        self.begin: Callable[[], None] = lambda: None
        self.updating: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self.after_step: Callable[[], None] = lambda: None
        self.on_best: Callable[[], None] = lambda: None
        self.names: Callable[[Planned], Sequence[int]] = lambda planned: ()
        self.left: Callable[[int], int] = lambda done: 0

    def learning(self) -> dict[str, nn.Parameter]:
        """What learns, by name."""
        return {name: one for name, one in self.network.named_parameters() if one.requires_grad}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, going on from a checkpoint where there is one."""
        learning = list(self.learning().values())
        matrices = [one for one in learning if one.ndim > 1]
        others = [one for one in learning if one.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.config.weight_decay}]
        groups += [{"params": others, "weight_decay": 0.0}] if others else []
        optimizer = torch.optim.AdamW(groups, lr=self.config.lr, fused=True)
        if self.resumed is not None:
            optimizer.load_state_dict(dict(self.resumed.optimizer))
        return optimizer

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Only tensors travel."""
        batches = [{name: one.to(device) for name, one in part.items()} for part in batch["batches"]]
        return {**batch, "batches": batches}

    def on_train_start(self) -> None:
        """Validate before the first step: a broken validation shows now, and the curve has a beginning."""
        self.begin()
        self.team.agree(list(self.learning().values()))
        self.network.train()
        self.run.progress(self.done, self.total)
        self._validate_if_due()

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """One optimizer step. Raises StepError when the loss or a gradient is no number."""
        began, planned = time.perf_counter(), batch["planned"]
        torch.manual_seed((self.run.seed * SEED_STRIDE + self.done + (self.team.rank << 40)) % 2**63)
        optimizer: Any = self.optimizers()
        rate = learning_rate(self.config, self.done, self.total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = self._gradients(batch["batches"], planned)
        loss = self.team.sum_gradients(list(self.learning().values()), loss)
        self._check("loss", loss, planned)
        self._check("gradient", self._clip(), planned)
        row = {"step": planned.step, "loss": loss, "lr": rate, "tokens": planned.tokens}
        with self.updating():
            optimizer.step()
            self.done += 1
            self.rows.append({**row, "loss_tokens": planned.loss_tokens})
        self._tell(planned, loss, time.perf_counter() - began)
        self._validate_if_due()
        self.after_step()
        if is_over(self.rows, self.config.patience) and self.done < self.total:
            self.run.log(f"stopped at step {self.done}: the validation loss no longer falls")
            self.trainer.should_stop = True

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

    def _clip(self) -> float:
        """The norm of all gradients, before they are scaled down to the most that is allowed."""
        learning = list(self.learning().values())
        norm = nn.utils.get_total_norm([one.grad for one in learning if one.grad is not None])
        if self.config.gradient_clip is not None:
            nn.utils.clip_grads_with_norm_(learning, self.config.gradient_clip, norm)
        return float(norm)

    def _gradients(self, batches: Sequence[Batch], planned: Planned) -> float:
        threads, weight = self.threads, planned.loss_tokens
        if threads is not None:
            return threads.timed(
                lambda: set_gradients(self.network, self.objective, batches, weight, threads), planned.tokens
            )
        total = 0.0
        for one in batches:
            loss = self.objective.loss(self.network, one) / weight
            self.manual_backward(loss)
            total += float(loss.detach())
        return total

    def _validate_if_due(self) -> None:
        every, done = self.config.validate_every, self.done
        due = done in (0, self.total) or (every is not None and done % every == 0)
        if self.validates and due and not validated(self.rows, done):
            self._validate()

    def _validate(self) -> None:
        batches = [{name: one.to(self.device) for name, one in batch.items()} for batch, _ in self.validation]
        with self.trainer.precision_plugin.forward_context(), evaluating(self.network):
            total = self.team.sum(summed_loss(self.network, self.objective, batches, self.threads))
        loss = total / self.team.sum(sum(weight for _, weight in self.validation))
        if not math.isfinite(loss):
            raise StepError(
                f"the validation loss is {loss} after optimizer step {self.done}",
                where=self.run.step,
                remedy="Lower lr or raise warmup_steps. The last good checkpoint is kept.",
            )
        self.rows.append({"step": self.done, "validation_loss": loss})
        self.run.metric("validation_loss", loss, at=self.done)
        best = best_of(self.rows)
        if best is not None and best.since == 0:
            self.on_best()


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network as it answers, not as it learns."""
    network.eval()
    try:
        yield
    finally:
        network.train()
