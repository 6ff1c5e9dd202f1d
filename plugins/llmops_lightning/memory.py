"""What a training needs of memory, by arithmetic, and what to change when that was too much."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain
from llmops_lightning.estimate import memory_needed

GIGABYTE = 1e9
SIGNS = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)


@dataclass(frozen=True)
class Need:
    """What decides a training's memory."""

    config: LightningTrain
    model: Model
    worst: Mapping[str, int]
    """Rows and tokens of the plan's largest micro-batch."""

    def bytes(self) -> float:
        """All of it: libraries, weights, optimizer, and the activations of what runs at once."""
        tokens = self.worst["rows"] * self.worst["tokens"]
        return memory_needed(self.config, self.model.parameters, tokens)

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
        if not config.recompute:
            found["recompute=true"] = replace(self, config=replace(config, recompute=True)).bytes()
        if config.tuning.use == "full":
            adapters = replace(config, tuning=replace(config.tuning, use="lora"))
            found["tuning=lora"] = replace(self, config=adapters).bytes()
        if (config.threads or 2) > 1:
            found["threads=1"] = replace(self, config=replace(config, threads=1)).bytes()
        return dict(sorted(found.items(), key=lambda change: change[1])[:3])


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
    used: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(used) * (1 if sys.platform == "darwin" else 1024)
