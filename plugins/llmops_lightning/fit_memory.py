"""The largest micro-batch that fits, found by trying, with the same rows in every optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmops_core import wording
from llmops_core.errors import StepError
from llmops_core.preview import Preview
from llmops_lightning.choices import Machine, Setup
from llmops_lightning.config import LightningTrain, processes_of
from llmops_lightning.estimate import memory_needed
from llmops_lightning.machine import available_cores, available_memory
from llmops_lightning.trial import Trial, Tried

TRIED = 2
"""Micro-batches of a process that an accelerator is tried with: it has one at a time, then gradients too."""
SPARE = 0.9
"""Share of the available memory that trials may take: others use the machine too."""


@dataclass(frozen=True)
class Size:
    """A batch size that was tried."""

    batch_size: int
    accumulate: int
    estimate: float
    """Bytes, by arithmetic."""
    fits: bool
    peak: float
    """Bytes that were held; 0 where it did not fit."""
    rows_a_second: float

    def override(self, step: str) -> str:
        """What to write so that a training has this size."""
        return f"{step}.batch_size={self.batch_size} {step}.accumulate={self.accumulate}"

    def cells(self) -> Sequence[str]:
        """As a line of a table."""
        held = wording.size(self.peak) if self.fits else "out of memory"
        speed = f"{self.rows_a_second:.3g}" if self.fits else ""
        shown = str(self.batch_size), str(self.accumulate), held, wording.size(self.estimate), speed
        return [f"{cell:>{len(title)}}" for cell, title in zip(shown, TITLES, strict=True)]


TITLES = ("batch_size", "accumulate", " held at most", "estimated", "rows/s")


def sizes(config: LightningTrain) -> list[int]:
    """The batch sizes with which an optimizer step sees the same rows, shared evenly among the processes."""
    rows, processes = config.batch_size * config.accumulate, processes_of(config)
    return [size for size in range(1, rows + 1) if rows % size == 0 and rows // size % processes == 0]


def fitting(trial: Trial, attempt: Callable[[Trial], Tried], tell: Callable[[Size], None]) -> list[Size]:
    """Every size that was tried, in order; `tell` hears of each at once.

    First the recipe's own, then always the one in the middle of what is still open: what a size needs grows
    with it.
    """
    known, found = sizes(trial.config), []
    low, high = -1, len(known)
    middle = known.index(trial.config.batch_size)
    while high - low > 1:
        config = of_size(trial.config, known[middle])
        came = attempt(replace(trial, config=_at_once(config, trial.device)))
        trial = replace(trial, row=came.row or trial.row)
        size = _size(trial, config, came)
        found.append(size)
        tell(size)
        low, high = (middle, high) if size.fits else (low, middle)
        middle = (low + high) // 2
    return sorted(found, key=lambda size: size.batch_size)


def of_size(config: LightningTrain, batch_size: int) -> LightningTrain:
    """The same training with another batch size and the same rows in an optimizer step."""
    rows = config.batch_size * config.accumulate
    return replace(config, batch_size=batch_size, accumulate=rows // batch_size)


def _at_once(config: LightningTrain, device: str) -> LightningTrain:
    """With no more micro-batches than are held at once, all of which then are."""
    processes, threads = processes_of(config), config.threads or available_cores()
    most = math.ceil(threads / processes) if device == "cpu" else TRIED
    return replace(config, accumulate=min(config.accumulate, processes * most), threads=threads)


def _size(trial: Trial, config: LightningTrain, came: Tried) -> Size:
    tokens = came.row.tokens * came.row.many if came.row is not None else 0
    rows = config.batch_size * _at_once(config, trial.device).accumulate
    return Size(
        config.batch_size,
        config.accumulate,
        memory_needed(config, trial.model.parameters, config.batch_size * tokens),
        came.fits,
        came.peak,
        rows / came.seconds if came.fits else 0.0,
    )


def trial_of(found: Preview, memory: float | None) -> Trial:
    """What is to be tried, bounded by `memory` (GB) or by what is free now."""
    config: LightningTrain = found.step.config
    inputs: Mapping[str, Any] = found.inputs
    device = Setup(config, Machine()).device
    limit = memory * 1e9 if memory is not None else None
    if limit is None and device == "cpu":
        limit = SPARE * available_memory() / processes_of(config)
    run = found.run
    return Trial(config, inputs["model"], inputs["data"], run.state, found.step.name, run.seed, device, limit)


def verdict(found: Sequence[Size], trial: Trial) -> Mapping[str, str]:
    """The overrides for the largest that fits and for the fastest. Raises StepError when none fits."""
    fit = [size for size in found if size.fits]
    if not fit:
        changes = [f"{trial.step}.max_length lower"]
        changes += [f"{trial.step}.recompute=true"] if trial.config.recompute is not True else []
        changes += [f"{trial.step}.tuning=lora"] if trial.config.tuning.use == "full" else []
        smallest = min(size.batch_size for size in found)
        bound = "the accelerator's memory" if trial.limit is None else wording.size(trial.limit)
        raise StepError(
            f"not even {trial.step}.batch_size={smallest} fits into {bound}",
            where=trial.step,
            remedy=f"Set {' or '.join(changes)}.",
        )
    largest = max(fit, key=lambda size: size.batch_size)
    fastest = max(fit, key=lambda size: size.rows_a_second)
    return {"largest": largest.override(trial.step), "fastest": fastest.override(trial.step)}
