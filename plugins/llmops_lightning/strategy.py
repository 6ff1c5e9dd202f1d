"""How the work is spread over devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from llmops_core.step import StepRun
from llmops_lightning.config import Ddp, SingleStrategy


@dataclass(frozen=True)
class Strategy:
    """What a `train/strategy` gives."""

    trainer: Mapping[str, Any]
    """Arguments of Lightning's Trainer."""
    at_once: bool
    """Whether a step's micro-batches may run at once, on threads: not where a wrapper counts backwards."""
    processes: int = 1
    """How many processes share each optimizer step's micro-batches."""
    device: str = "cpu"
    """What the processes compute on: cpu or gpu."""

    def of_rank(self, rank: int) -> Mapping[str, Any]:
        """The trainer's arguments in one of the processes."""
        return {**self.trainer, "devices": [rank]} if self.device == "gpu" else self.trainer


def single(config: SingleStrategy, run: StepRun) -> Strategy:
    """One process, one device."""
    return Strategy({"accelerator": config.accelerator, "devices": 1}, at_once=True)


def ddp(config: Ddp, run: StepRun) -> Strategy:
    """Several processes with all weights each."""
    device = config.accelerator
    if device == "auto":
        device = "gpu" if torch.cuda.is_available() else "cpu"
    devices: Any = [0] if device == "gpu" else 1
    return Strategy({"accelerator": device, "devices": devices}, True, config.processes, device)
