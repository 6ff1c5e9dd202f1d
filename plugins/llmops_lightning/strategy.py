"""How the work is spread over devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmops_core.step import StepRun
from llmops_lightning.config import SingleStrategy


@dataclass(frozen=True)
class Strategy:
    """What a `train/strategy` gives."""

    trainer: Mapping[str, Any]
    """Arguments of Lightning's Trainer."""
    at_once: bool
    """Whether a step's micro-batches may run at once, on threads: not where a wrapper counts backwards."""


def single(config: SingleStrategy, run: StepRun) -> Strategy:
    """One process, one device."""
    return Strategy({"accelerator": config.accelerator, "devices": 1}, at_once=True)
