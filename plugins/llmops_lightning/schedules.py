"""How the learning rate goes."""

from __future__ import annotations

import math

from llmops_lightning.config import LightningTrain

DECAY = 0.2
"""Share of the training over which `stable` comes down at its end."""


def learning_rate(config: LightningTrain, step: int, total: int) -> float:
    """The learning rate of optimizer step `step` (from 0) of `total`."""
    warmup = min(config.warmup_steps, max(0, total - 1))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    share = (step - warmup) / max(1, total - warmup)
    return config.lr * (config.lr_floor + (1 - config.lr_floor) * _height(config.schedule, share))


def _height(schedule: str, share: float) -> float:
    """From 1 at the beginning to 0 at the end; `share` of the way, after the warm-up, is done."""
    match schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        case "linear":
            return 1 - share
        case "stable":
            return min(1.0, (1 - share) / DECAY)
    return 1.0
