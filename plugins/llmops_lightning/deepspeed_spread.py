"""DeepSpeed's ZeRO: each process holds its part of the optimizer's state (1), of the gradients (2) and of the
weights (3). The strategies deepspeed_zero1, deepspeed_zero2 and deepspeed_zero3."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain, Zero, Zero3
from llmops_lightning.deepspeed_engine import end_engine, environment, exchanging, start_engine
from llmops_lightning.deepspeed_state import put_state, read_state, read_weights
from llmops_lightning.gradients import on_threads
from llmops_lightning.machine import available_cores
from llmops_lightning.optimizing import adamw
from llmops_lightning.sharded import device_of, in_place
from llmops_lightning.spread import Learner, MicroBatch, State, Weights, put, seeded
from llmops_lightning.strategy import Strategy, chosen
from llmops_lightning.team import Team


def zero(config: Zero, run: StepRun) -> Strategy:
    """Several processes that share what a training holds."""
    device = chosen(config.accelerator)
    return Strategy(partial(Partitioned, chosen=config, accelerator=device), config.processes, device)


class Partitioned:
    """A DeepSpeed engine around the learner. It is made when training starts, of whole weights.

    The engine would divide the loss by the steps of an accumulation and the gradients by the number of
    processes: the first is switched off, the second undone, as the plan knows what to divide by.
    """

    reads_alone = False

    def __init__(
        self, learner: Learner, config: LightningTrain, team: Team, chosen: Zero, accelerator: str
    ) -> None:
        self.learner = learner
        self.team = team
        self.chosen = chosen
        self.accelerator = accelerator
        self.device = device_of(accelerator, team)
        self.engine: Any = None
        self.held = ExitStack()

    @property
    def trainer(self) -> Mapping[str, Any]:
        """One device for each process; the trainer's own strategy for DeepSpeed is not needed."""
        return in_place(self.accelerator, self.team)

    def optimizer(self, groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
        """torch's, which the engine will give its own parts of the weights to."""
        self.adamw = adamw(groups, lr)
        return self.adamw

    def start(self, weights: Weights | None, state: State | None) -> None:
        """Divide whole weights and the whole state among the processes."""
        put(self.learner, weights or {})
        self.held.enter_context(environment(LOCAL_RANK=str(self.team.local)))
        # in stage 3 DeepSpeed puts its own in there, which keeps no copies of weights in lower precision
        self.held.callback(setattr, functional, "linear", functional.linear)
        self.engine = start_engine(self.learner, self.adamw, self._placed(), self.team, self.device)
        put_state(self.engine.optimizer, self.learner, state or {}, self.team)

    def gradients(self, batches: Sequence[MicroBatch], weight: int) -> float:
        """One micro-batch after another."""
        total = 0.0
        for at, one in enumerate(seeded(batches), 1):
            self.engine.set_gradient_accumulation_boundary(at == len(batches))
            with exchanging():
                loss = self.engine(one.batch) * (one.counts / weight)
                self.engine.backward(loss * self.team.size, scale_wrt_gas=False)
            total += float(loss.detach())
        return total

    def step(self, lr: float, clip: float | None) -> float:
        """The engine clips, by the norm over all processes, and skips a step whose norm is not finite."""
        for group in self.adamw.param_groups:
            group["lr"] = lr
        self.engine.optimizer.clip_grad = clip or 0.0
        with exchanging(), on_threads(self._threads()):
            self.engine.step()
        return float(self.engine.get_global_grad_norm()) if self.engine.was_step_applied() else math.inf

    def loss(self, batches: Sequence[MicroBatch]) -> float:
        """One micro-batch after another."""
        with torch.no_grad(), exchanging():
            return sum(float(self.engine(one.batch)) * one.counts for one in batches)

    def weights(self) -> Weights:
        """Put together from the parts, one weight after another."""
        with exchanging():
            return read_weights(self.learner, self.team)

    def state(self) -> State:
        """Put together from the parts."""
        with exchanging():
            return read_state(self.engine.optimizer, self.learner, self.team)

    def whole(self, learned: Weights, load: Callable[[], nn.Module]) -> nn.Module:
        """One that is loaded again: of this one the engine took the weights apart."""
        fresh = Learner(load(), self.learner.objective)
        put(fresh, learned)
        return fresh.network

    def close(self) -> None:
        """End the engine."""
        with self.held:
            if self.engine is not None:
                end_engine(self.engine)

    def _placed(self) -> Zero:
        """What was chosen, with a folder of this process's own for what goes to a disk."""
        if not isinstance(self.chosen, Zero3) or self.chosen.nvme_path is None:
            return self.chosen
        Path(self.chosen.nvme_path).mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix="llmops-", dir=self.chosen.nvme_path)
        return replace(self.chosen, nvme_path=self.held.enter_context(folder))

    def _threads(self) -> int:
        """Where the optimizer steps beside the GPU, it is given all cores: its result is the same."""
        return 1 if self.chosen.offload == "none" else max(1, available_cores() // self.team.size)
