"""The processes that share a training's optimizer steps: each has micro-batches of its own, all have the
same weights. What they exchange is sums; what a sum is divided by stands in the plan."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Thing = TypeVar("Thing")
PATIENCE = datetime.timedelta(minutes=30)
"""How long one process waits for another: a validation or a checkpoint may lie between two sums."""


@dataclass(frozen=True)
class Team:
    """This process's place among those of a training; by default it is alone."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that tells and writes."""
        return self.rank == 0

    def share(self, things: Sequence[Thing]) -> Sequence[Thing]:
        """Its part of what is planned for all."""
        return things[self.rank :: self.size]

    def sum_gradients(self, parameters: Sequence[nn.Parameter], loss: float) -> float:
        """Give every process the sum of all gradients; gives the sum of the losses."""
        if self.size == 1:
            return loss
        for one in parameters:
            if one.grad is None:
                one.grad = torch.zeros_like(one)
        gradients = [one.grad for one in parameters if one.grad is not None]
        # one message: a sum costs its latency, and adapters are many small tensors
        whole = torch.cat(
            [torch.tensor([loss], device=gradients[0].device), *(g.flatten() for g in gradients)]
        )
        distributed.all_reduce(whole)
        parts = torch.split(whole[1:], [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(whole[0])

    def sum(self, value: float) -> float:
        """The sum of every process's value."""
        if self.size == 1:
            return value
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        whole = torch.tensor([value], dtype=torch.float64, device=device)
        distributed.all_reduce(whole)
        return float(whole)

    def agree(self, weights: Sequence[Tensor]) -> None:
        """Take the leading process's weights."""
        if self.size > 1:
            for one in weights:
                distributed.broadcast(one.data, 0)


def join(meeting: Path, rank: int, size: int, device: str) -> Team:
    """Meet the other processes at a file that all of them see."""
    backend = "nccl" if device == "gpu" else "gloo"
    distributed.init_process_group(
        backend, init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=PATIENCE
    )
    return Team(rank, size)


def leave() -> None:
    """End the exchange, where there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
