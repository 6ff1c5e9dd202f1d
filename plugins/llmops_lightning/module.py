"""The training loop's body: one optimizer step for each batch that Lightning hands over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as lightning
import torch
from torch import nn

from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.checkpoints import Checkpoint
from llmops_lightning.config import LightningTrain
from llmops_lightning.gradients import Threads, mean_loss, set_gradients
from llmops_lightning.objective import Batch, Objective

SEED_STRIDE = 1_000_003


def learning_rate(config: LightningTrain, step: int, total: int) -> float:
    """The learning rate of optimizer step `step` (from 0) of `total`."""
    warmup = min(config.warmup_steps, max(0, total - 1))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    share = (step - warmup) / max(1, total - warmup)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * share))
    return config.lr * (1 - share) if config.schedule == "linear" else config.lr


class Training(lightning.LightningModule):
    """Takes optimizer steps and keeps the curve; the trainer only drives it.

    Optimization is manual because a batch is a whole optimizer step here: its loss is divided by the
    tokens of all its micro-batches, which Lightning's own accumulation cannot know.
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
        self.rows: list[Mapping[str, float]] = []
        self.validation: Sequence[tuple[Batch, int]] = ()
        self.threads: Threads | None = None
        self.resumed: Checkpoint | None = None
        self.after_step: Callable[[Training], None] = lambda training: None

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

    def on_train_start(self) -> None:
        """Validate before the first step: a broken validation shows now, and the curve has a beginning."""
        self.network.train()
        self._tell(self.done, {})
        if self.done == 0:
            self._validate()

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """One optimizer step. Raises StepError when the loss is no number."""
        began = time.perf_counter()
        torch.manual_seed((self.run.seed * SEED_STRIDE + self.done) % 2**63)
        optimizer: Any = self.optimizers()
        rate = learning_rate(self.config, self.done, self.total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = self._gradients(batch)
        if not math.isfinite(loss):
            raise StepError(
                f"the loss is {loss} at optimizer step {self.done + 1}",
                where=self.run.step,
                remedy="Lower lr, raise warmup_steps, or lower gradient_clip.",
            )
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.learning().values(), self.config.gradient_clip)
        optimizer.step()
        self.done += 1
        self.rows.append({"step": self.done, "loss": loss, "lr": rate, "tokens": batch["tokens"]})
        self.run.metric("loss", loss, at=self.done)
        self._tell(self.done, {"loss": loss, "tok/s": batch["tokens"] / (time.perf_counter() - began)})
        every = self.config.validate_every
        if self.done == self.total or (every and self.done % every == 0):
            self._validate()
        self.after_step(self)

    def _gradients(self, batch: Mapping[str, Any]) -> float:
        batches, weight = batch["batches"], batch["weight"]
        threads = self.threads
        if threads is not None:
            return threads.timed(
                lambda: set_gradients(self.network, self.objective, batches, weight, threads), batch["tokens"]
            )
        total = 0.0
        for one in batches:
            loss = self.objective.loss(self.network, one) / weight
            self.manual_backward(loss)
            total += float(loss.detach())
        return total

    def _validate(self) -> None:
        if not self.validation:
            return
        self.network.eval()
        batches = [
            ({name: one.to(self.device) for name, one in batch.items()}, n) for batch, n in self.validation
        ]
        with self.trainer.precision_plugin.forward_context():
            loss = mean_loss(self.network, self.objective, batches, self.threads)
        self.network.train()
        self.rows.append({"step": self.done, "validation_loss": loss})
        self.run.metric("validation_loss", loss, at=self.done)

    def _tell(self, done: int, numbers: Mapping[str, float]) -> None:
        self.run.progress(done, self.total, **numbers)
