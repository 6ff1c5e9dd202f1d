"""How the work is spread over devices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from llmops_core.step import StepRun
from llmops_lightning.config import Ddp, Fsdp, SingleStrategy
from llmops_lightning.replicated import Replicated
from llmops_lightning.spread import SpreadMaker


@dataclass(frozen=True)
class Strategy:
    """What a `train/strategy` gives."""

    spread: SpreadMaker
    """Called in every process, with the network as it was loaded, before Lightning's trainer is made."""
    processes: int = 1
    """How many processes share each optimizer step's micro-batches."""
    device: str = "cpu"
    """What the processes compute on: cpu or gpu."""
    several: bool = True
    """Whether there may be more than one of them."""


def single(config: SingleStrategy, run: StepRun) -> Strategy:
    """One process, one device."""
    return Strategy(partial(Replicated, accelerator=config.accelerator), several=False)


def ddp(config: Ddp, run: StepRun) -> Strategy:
    """Several processes with all weights each."""
    device = chosen(config.accelerator)
    return Strategy(partial(Replicated, accelerator=device), config.processes, device)


def fsdp(config: Fsdp, run: StepRun) -> Strategy:
    """Several processes with a share of all weights each."""
    from llmops_lightning.sharded import Sharded

    device = chosen(config.accelerator)
    return Strategy(partial(Sharded, chosen=config, accelerator=device), config.processes, device)


def chosen(accelerator: str) -> str:
    """cpu or gpu."""
    if accelerator != "auto":
        return accelerator
    return "gpu" if torch.cuda.is_available() else "cpu"
