"""The processes that share a training's optimizer steps: each has micro-batches of its own, all have the
same weights. What they exchange is sums; what a sum is divided by stands in the plan."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import Store
from torch.distributed.rendezvous import rendezvous

from llmops_core.place import Place

Thing = TypeVar("Thing")
PATIENCE = datetime.timedelta(minutes=30)
"""How long one process waits for another: a validation or a checkpoint may lie between two sums."""
PREPARING = datetime.timedelta(hours=24)
"""How long the others wait while the leading process encodes the data."""
HERE = "llmops/here"
LOOK_EVERY = 0.05
"""Seconds between looks at whether the others have come."""


@dataclass(frozen=True)
class Team:
    """This process's place among those of a training; by default it is alone."""

    rank: int = 0
    size: int = 1
    local: int = 0
    """Its place among those on this machine, and the number of its GPU."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that tells and writes."""
        return self.rank == 0

    def share(self, things: Sequence[Thing]) -> Sequence[tuple[Thing, bool]]:
        """Its part of what is planned for all, and whether it counts.

        All are given the same number: where things run short, one that another process has and does not
        count here.
        """
        if not things:
            return ()
        rounds = range(0, len(things), self.size)
        places = [first + self.rank for first in rounds]
        return [(things[at], True) if at < len(things) else (things[0], False) for at in places]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give every process the sum of all gradients."""
        if self.size == 1:
            return
        for one in parameters:
            if one.grad is None:
                one.grad = torch.zeros_like(one)
        gradients = [one.grad for one in parameters if one.grad is not None]
        # one message: a sum costs its latency, and adapters are many small tensors
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(whole)
        parts = torch.split(whole, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum(self, *values: float) -> Sequence[float]:
        """The sums of every process's values, in one message."""
        if self.size == 1:
            return values
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        whole = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(whole)
        return [float(one) for one in whole]

    def agree(self, weights: Sequence[Tensor]) -> None:
        """Take the leading process's weights."""
        if self.size > 1:
            for one in weights:
                distributed.broadcast(one.data, 0)


def at_file(meeting: Path, place: Place) -> Store:
    """Where processes of one machine meet: at a file."""
    return distributed.FileStore(str(meeting), place.size)


def at_address(place: Place) -> Store:
    """Where processes of several machines meet, as torchrun or Slurm said."""
    found = rendezvous(f"tcp://{place.address}", place.rank, place.size, timeout=PREPARING)
    store: Store = next(found)[0]
    return store


def join(store: Store, place: Place, device: str, lost: Callable[[], bool] = lambda: False) -> Team:
    """Exchange with the other processes from now on. `device`: what they compute on, cpu or gpu.

    The leading process asks `lost` whether one of them will never come. Raises RuntimeError then.
    """
    if place.leads:
        coming = [f"{HERE}/{rank}" for rank in range(1, place.size)]
        while not store.check(coming):
            if lost():
                raise RuntimeError("the connection was never made: a process is gone")
            time.sleep(LOOK_EVERY)
    else:
        store.set(f"{HERE}/{place.rank}", "")
    backend = "nccl" if device == "gpu" else "gloo"
    distributed.init_process_group(
        backend, store=store, rank=place.rank, world_size=place.size, timeout=PATIENCE
    )
    # Slurm may show each process only a GPU of its own, which then is the first
    local = place.local % max(1, torch.cuda.device_count()) if device == "gpu" else place.local
    return Team(place.rank, place.size, local)


def expect_group(team: Team, device: str) -> None:
    """Make a group of one where this process is alone, for libraries that exchange all the same."""
    if team.size == 1 and not distributed.is_initialized():
        backend = "nccl" if device == "cuda" else "gloo"
        distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)


def leave() -> None:
    """End the exchange, where there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
