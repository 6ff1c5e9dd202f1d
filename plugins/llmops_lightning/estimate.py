"""What a training needs, from its config and what is known of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmops_core.artifacts import Artifact, Dataset, Model
from llmops_core.hookspecs import Estimate
from llmops_lightning.config import LightningTrain, processes_of
from llmops_lightning.machine import whole_memory

START = 15.0
"""Seconds to import the libraries and load the weights."""
OPERATIONS_A_SECOND = 2e11
"""Useful floating-point operations of two server cores on fp32: 370 tokens/s of a 135M-parameter model."""
BYTES_A_TOKEN = 3.5
"""Of a row's JSON, for each token it becomes."""
UNKNOWN_ROWS, UNKNOWN_TOKENS = 1000, 100
LENGTH = 1024
"""The longest row, in tokens, where nothing is said of it."""
LIBRARIES = 1.0e9
FOUR_BITS = 0.6
"""Bytes of a weight in 4 bits, with its share of the scales."""
RECOMPUTED = 0.2
"""Share of the activations that is held when they are computed again."""
LEARNING: Mapping[str, tuple[float, float]] = {
    "deepspeed_zero1": (8, 12),
    "deepspeed_zero2": (4, 16),
    "deepspeed_zero3": (0, 16),
    "fsdp": (0, 16),
}
"""Bytes for each weight that learns: those that every process holds, and those that all hold together."""
ACTIVATIONS = 1.1e-2
"""Bytes of activations for each token and weight, measured with adapters on a 135M-parameter model."""


def estimate(config: LightningTrain, inputs: Mapping[str, Artifact | None]) -> Sequence[Estimate]:
    """Time and memory on two cores of a CPU; nothing while the model's size is unknown."""
    model, data = inputs.get("model"), inputs.get("data")
    if not isinstance(model, Model):
        return ()
    rows, length, basis = _rows(config, data if isinstance(data, Dataset) else None)
    seen = rows * config.epochs
    if config.max_steps is not None:
        seen = min(seen, config.max_steps * config.batch_size * config.accumulate)
    full = config.tuning.use == "full"
    operations = (6 if full else 4) * model.parameters * seen * length
    validated = 2 * 2 * model.parameters * config.validation_rows * length
    seconds = START + (operations + validated) / OPERATIONS_A_SECOND
    tokens = config.batch_size * min(2 * length, _longest(config))
    memory = memory_needed(
        recomputing(config, model.parameters, tokens, whole_memory()), model.parameters, tokens
    )
    count = processes_of(config)
    each = f", in each of {count} processes" if count > 1 else ""
    return (
        Estimate("time", seconds, f"{basis}, at 0.2 TFLOP/s of two CPU cores"),
        Estimate("memory", memory, f"the weights, their optimizer, and one step's activations{each}"),
    )


def memory_needed(config: LightningTrain, parameters: int, tokens: float) -> float:
    """Bytes that a training needs whose largest micro-batch has `tokens` tokens."""
    at_once = tokens * (1 if config.compile else min(config.threads or 2, config.accumulate))
    held = ACTIVATIONS * (RECOMPUTED if config.recompute is True else 1) * at_once
    weight = _of_learning(config) if config.tuning.use == "full" else _of_frozen(config)
    return LIBRARIES + parameters * (weight + held)


def _of_frozen(config: LightningTrain) -> float:
    """Bytes for each weight that stays as it is."""
    if getattr(config.tuning.config, "quantise", "none") != "none":
        return FOUR_BITS
    return 2 if getattr(config.tuning.config, "frozen", "fp32") == "bf16" else 4


def _of_learning(config: LightningTrain) -> float:
    """Bytes for each weight that learns, in one of the processes: the weight, its gradient, two moments, and
    in ZeRO 1 and 2 a second copy of the weight. Every process holds all weights at first."""
    alone = 10 if config.optimizer == "adamw8bit" else 16
    whole, shared = LEARNING.get(config.strategy.use, (alone, 0))
    return max(4, whole + shared / processes_of(config))


def recomputing(config: LightningTrain, parameters: int, tokens: float, memory: float) -> LightningTrain:
    """The same training with `recompute` decided: where it is auto, by whether `memory` bytes are enough."""
    if config.recompute != "auto":
        return config
    without = replace(config, recompute=False)
    return (
        without if memory_needed(without, parameters, tokens) <= memory else replace(config, recompute=True)
    )


def _longest(config: LightningTrain) -> int:
    return config.max_length or LENGTH


def _rows(config: LightningTrain, data: Dataset | None) -> tuple[float, float, str]:
    """How many rows there are and how long they are, in tokens, and how that is known."""
    if data is None:
        rows = config.max_rows or UNKNOWN_ROWS
        return rows, min(UNKNOWN_TOKENS, _longest(config)), f"{rows} rows of {UNKNOWN_TOKENS} tokens assumed"
    whole = max(1, data.rows.get("train", 0))
    rows = min(config.max_rows or whole, whole)
    file = data.path("train")
    size = file.stat().st_size if file.is_file() else whole * UNKNOWN_TOKENS * BYTES_A_TOKEN
    length = min(size / whole / BYTES_A_TOKEN, _longest(config))
    return rows, length, f"{rows} rows of about {length:.0f} tokens"
