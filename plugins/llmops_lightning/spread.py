"""How what learns lies over a training's processes: the one thing that strategies differ in.

The training loop (module.py, running.py, checkpoints.py) knows a strategy only as a `Spread`. All processes
take the same steps and call the same methods in the same order, so that any of them may exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from llmops_lightning.config import LightningTrain
from llmops_lightning.objective import Batch, Objective
from llmops_lightning.team import Team

Weights = Mapping[str, Tensor]
"""What learns, by the network's names: whole tensors, however they are spread."""
State = Mapping[str, Mapping[str, Tensor]]
"""AdamW's `step`, `exp_avg` and `exp_avg_sq` of each weight, by name: whole tensors. In 8 bits, where every
process has all of it: what bitsandbytes holds, as it is."""


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes at once."""

    batch: Batch
    counts: bool = True
    """False: another process has one micro-batch more. This one is computed for the exchanges on the way,
    and neither its loss nor its gradients count."""
    seed: int = 0
    """Of the random numbers that learning from it draws."""


def seeded(batches: Sequence[MicroBatch]) -> Iterator[MicroBatch]:
    """One after another, each to be learned from with random numbers of its own."""
    for one in batches:
        torch.manual_seed(one.seed)
        yield one


class Learner(nn.Module):
    """A network with its objective: called with a batch, it gives the batch's summed loss.

    Whoever wraps modules wraps this one, as objectives call parts of the network by themselves.
    """

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        """The sum of the batch's losses, a scalar."""
        return self.objective.loss(self.network, batch)

    def learning(self) -> dict[str, nn.Parameter]:
        """What learns, by the network's names."""
        return {name: one for name, one in self.network.named_parameters() if one.requires_grad}


class Spread(Protocol):
    """Where weights, gradients and optimizer state lie, and how an optimizer step is taken there.

    Lightning's trainer is made with `trainer`, sets itself up, and calls `optimizer` on the way; then comes
    `start`, and for every step `gradients` and `step`.
    """

    @property
    def trainer(self) -> Mapping[str, Any]:
        """Arguments of Lightning's Trainer in this process: accelerator, devices and strategy."""

    @property
    def reads_alone(self) -> bool:
        """Whether `weights` and `state` exchange nothing: then one process may call them by itself, at any
        moment outside `step`."""

    def optimizer(self, groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
        """AdamW over groups of parameters, each with its weight_decay."""

    def start(self, weights: Weights | None, state: State | None) -> None:
        """Take over what a checkpoint holds; None: all begin with the leading process's weights."""

    def gradients(self, batches: Sequence[MicroBatch], weight: int) -> float:
        """Compute the gradient of the loss of all processes' micro-batches, summed and divided by `weight`.

        Never a mean over processes: `weight` is the plan's, over all of them. Gives the part of that loss
        that comes from this process's micro-batches.
        """

    def step(self, lr: float, clip: float | None) -> float:
        """Update the weights with the gradients, scaled down to the norm `clip` at most, and forget them.

        Gives the norm of all gradients, over all processes, before they were scaled. Where it is not finite
        the weights may stay or be lost: nothing goes on from them.
        """

    def loss(self, batches: Sequence[MicroBatch]) -> float:
        """The summed loss of this process's micro-batches, without learning."""

    def weights(self) -> Weights:
        """What learns, whole, in the leading process; what the others are given is of no use."""

    def state(self) -> State:
        """The optimizer's state, whole, in the leading process."""

    def whole(self, learned: Weights, load: Callable[[], nn.Module]) -> nn.Module:
        """After the training, in the leading process alone: the network with all weights, the `learned` ones
        among them. `load` gives one as it was before the training; this one's may no longer be whole."""

    def close(self) -> None:
        """Give back what is held beside the network; also after an error."""


SpreadMaker = Callable[[Learner, LightningTrain, Team], Spread]


def put(learner: Learner, weights: Weights) -> None:
    """Overwrite what learns, where it lies whole."""
    learning = learner.learning()
    with torch.no_grad():
        for name, tensor in weights.items():
            learning[name].copy_(tensor)
