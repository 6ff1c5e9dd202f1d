"""What a training needs of memory, by arithmetic, and what to change when that was too much."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.memory import high_water
from llmops_core.step import StepRun
from llmops_lightning.choices import Machine, Setup
from llmops_lightning.config import LightningTrain
from llmops_lightning.estimate import memory_needed, recomputing
from llmops_lightning.machine import whole_memory

if TYPE_CHECKING:
    from llmops_lightning.module import Training

GIGABYTE = 1e9
SIGNS = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)


@dataclass(frozen=True)
class Need:
    """What decides a training's memory."""

    config: LightningTrain
    model: Model
    worst: Mapping[str, int]
    """Rows and tokens of the plan's largest micro-batch."""

    @property
    def tokens(self) -> int:
        """Of that micro-batch, padding included."""
        return self.worst["rows"] * self.worst["tokens"]

    def bytes(self) -> float:
        """All of it: libraries, weights, optimizer, and the activations of what runs at once."""
        return memory_needed(self.config, self.model.parameters, self.tokens)

    def smaller(self) -> Mapping[str, float]:
        """Changes that need less, each with what it would need."""
        config, worst = self.config, self.worst
        found: dict[str, float] = {}
        if config.batch_size > 1:
            half = config.batch_size // 2
            text = f"batch_size={half} accumulate={config.accumulate * 2}"
            found[text] = replace(self, worst={**worst, "rows": max(1, worst["rows"] // 2)}).bytes()
        shorter = worst["tokens"] // 2
        found[f"max_length={shorter}"] = replace(self, worst={**worst, "tokens": shorter}).bytes()
        if config.recompute is not True:
            found["recompute=true"] = replace(self, config=replace(config, recompute=True)).bytes()
        if config.tuning.use == "full":
            adapters = replace(config, tuning=replace(config.tuning, use="lora"))
            found["tuning=lora"] = replace(self, config=adapters).bytes()
        if (config.threads or 2) > 1:
            found["threads=1"] = replace(self, config=replace(config, threads=1)).bytes()
        return dict(sorted(found.items(), key=lambda change: change[1])[:3])


def recomputes(training: Training, worst: Mapping[str, int]) -> bool:
    """Whether activations are computed again: as the recipe says, or where one process lacks the memory.

    All processes have to ask together, as all have to compute alike.
    """
    config, run, team = training.config, training.run, training.team
    parameters = sum(one.numel() for one in training.learner.network.parameters())
    tokens, have = worst["rows"] * worst["tokens"], device_memory(config)
    decided = recomputing(config, parameters, tokens, have)
    if config.recompute == "auto":
        short = team.sum(float(decided.recompute is True))[0] > 0
        decided = replace(config, recompute=short)
        if short and team.leads:
            kept = memory_needed(replace(config, recompute=False), parameters, tokens)
            run.log(
                f"activations are computed again: to keep them {kept / GIGABYTE:.2g} GB would be needed, "
                f"and there are {have / GIGABYTE:.2g} GB"
            )
    if team.leads:
        run.metric("memory_estimated", memory_needed(decided, parameters, tokens))
    return decided.recompute is True


def device_memory(config: LightningTrain) -> float:
    """Bytes that one process of a training may have: its accelerator's, or its share of this machine's."""
    setup = Setup(config, Machine())
    if setup.device == "gpu" and torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    return whole_memory() / setup.processes


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and SIGNS.search(str(error)) is not None
    )


def out_of_memory(need: Need, run: StepRun) -> StepError:
    """The estimate, the actual, and the changes that would need less."""
    changes = ", ".join(f"{text} ({size / GIGABYTE:.2g} GB)" for text, size in need.smaller().items())
    rows, tokens = need.worst["rows"], need.worst["tokens"]
    return StepError(
        f"out of memory: estimated {need.bytes() / GIGABYTE:.2g} GB for micro-batches of {rows} rows of "
        f"{tokens} tokens, and {peak() / GIGABYTE:.2g} GB were in use at most",
        where=run.step,
        remedy=f"Any of these needs less: {changes}. The last checkpoint is kept.",
    )


def peak() -> float:
    """The most bytes that this process has held, on the accelerator where there is one."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return float(high_water())
