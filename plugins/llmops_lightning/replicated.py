"""Every process has all weights, all gradients and the whole optimizer state: strategies single and ddp."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from llmops_lightning.config import LightningTrain
from llmops_lightning.gradients import Threads, set_gradients, summed_loss
from llmops_lightning.machine import available_cores
from llmops_lightning.network_modes import draws_random_numbers
from llmops_lightning.optimizing import adamw, adamw8bit, state_of, take_state
from llmops_lightning.spread import Learner, MicroBatch, State, Weights, put
from llmops_lightning.team import Team


class Replicated:
    """All of it in each process; gradients are summed over them once a step."""

    reads_alone = True

    def __init__(self, learner: Learner, config: LightningTrain, team: Team, accelerator: str) -> None:
        self.learner = learner
        self.team = team
        self.accelerator = accelerator
        random = config.neftune > 0 or draws_random_numbers(learner.network)
        self.threads: Threads | None = None
        if config.precision == "fp32" and not random and not config.compile:
            # as many as this process has micro-batches in a step and cores for
            most = max(1, min(config.accumulate // team.size, available_cores() // team.size))
            self.threads = Threads(most, config.threads)
        self.make = adamw8bit if config.optimizer == "adamw8bit" else adamw
        self.adamw: torch.optim.Optimizer | None = None

    @property
    def trainer(self) -> Mapping[str, Any]:
        """One device for each process."""
        devices: Any = [self.team.local] if self.team.size > 1 and self.accelerator == "gpu" else 1
        return {"accelerator": self.accelerator, "devices": devices}

    def optimizer(self, groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
        """torch's, fused, or one that holds less."""
        self.adamw = self.make(groups, lr)
        return self.adamw

    def start(self, weights: Weights | None, state: State | None) -> None:
        """The same in every process; one that a checkpoint is read in gives it to all."""
        if weights is not None:
            put(self.learner, weights)
        self.team.agree(list(self.learner.learning().values()))
        take_state(self._optimizer, self.learner.learning(), state or {})

    def gradients(self, batches: Sequence[MicroBatch], weight: int) -> float:
        """On threads where there are any, else one micro-batch after another; summed in one message."""
        counting = [one for one in batches if one.counts]
        loss = set_gradients(self.learner, counting, weight, self._threads())
        self.team.sum_gradients(list(self.learner.learning().values()))
        return loss

    def step(self, lr: float, clip: float | None) -> float:
        """The same in every process."""
        norm = self.clip(clip)
        if norm < float("inf"):
            for group in self._optimizer.param_groups:
                group["lr"] = lr
            self._optimizer.step()
        self._optimizer.zero_grad()
        return norm

    def clip(self, most: float | None) -> float:
        """The norm of all gradients, before they are scaled down to the most that is allowed."""
        learning = list(self.learner.learning().values())
        norm = nn.utils.get_total_norm([one.grad for one in learning if one.grad is not None])
        if most is not None:
            nn.utils.clip_grads_with_norm_(learning, most, norm)
        return float(norm)

    def loss(self, batches: Sequence[MicroBatch]) -> float:
        """On threads where there are any."""
        return summed_loss(self.learner, [one.batch for one in batches if one.counts], self._threads())

    def weights(self) -> Weights:
        """As they are: not copied."""
        return {name: one.detach() for name, one in self.learner.learning().items()}

    def state(self) -> State:
        """As it is: not copied."""
        return state_of(self._optimizer, self.learner.learning())

    def whole(self, learned: Weights, load: Callable[[], nn.Module]) -> nn.Module:
        """The network that was trained."""
        put(self.learner, learned)
        return self.learner.network

    def close(self) -> None:
        """End the threads."""
        if self.threads is not None:
            self.threads.close()

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        if self.adamw is None:
            raise RuntimeError("there is no optimizer before the trainer has set itself up")
        return self.adamw

    def _threads(self) -> Threads | None:
        """None on an accelerator, which computes one thing after another by itself."""
        on_cpu = all(one.device.type == "cpu" for one in self.learner.learning().values())
        return self.threads if on_cpu else None
