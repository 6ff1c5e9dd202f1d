"""What goes together and what does not: feature x objective x tuning x strategy x device.

Light: read when a recipe is checked, before anything is imported that could tell.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llmops_core.errors import Problem
from llmops_lightning.config import LightningTrain, Lora

BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""What a processor that computes in bf16 calls it in /proc/cpuinfo."""


@dataclass(frozen=True)
class Machine:
    """Where the step will run, as far as it can be known without asking a library."""

    @cached_property
    def nvidia(self) -> bool:
        """Whether there is an NVIDIA GPU."""
        return Path("/dev/nvidiactl").exists() or Path("/proc/driver/nvidia/version").exists()

    @cached_property
    def apple(self) -> bool:
        """Whether it may have an Apple GPU."""
        return platform.system() == "Darwin"

    @cached_property
    def computes_bf16(self) -> bool:
        """Whether its processor multiplies in bf16; where that cannot be read: yes."""
        try:
            flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
        except OSError:
            return True
        return any(flag in BF16 for flag in flags)

    def has(self, module: str) -> bool:
        """Whether a library is installed."""
        return importlib.util.find_spec(module) is not None


@dataclass(frozen=True)
class Setup:
    """A training's choices and the machine."""

    config: LightningTrain
    machine: Machine

    @property
    def device(self) -> str:
        """cpu, gpu or mps."""
        asked = str(getattr(self.config.strategy.config, "accelerator", "auto"))
        if asked != "auto":
            return asked
        return "gpu" if self.machine.nvidia else "mps" if self.machine.apple else "cpu"

    @property
    def lora(self) -> Lora:
        """How adapters are made; the defaults where there are none."""
        chosen = self.config.tuning.config
        return chosen if isinstance(chosen, Lora) else Lora()

    @property
    def quantised(self) -> bool:
        """Whether frozen weights are held in few bits."""
        return self.lora.quantise != "none"

    @property
    def processes(self) -> int:
        """How many processes share the work."""
        return int(getattr(self.config.strategy.config, "processes", 1))


@dataclass(frozen=True)
class Rule:
    """One cell of the matrix that does not work."""

    field: str
    broken: Callable[[Setup], bool]
    what: str
    remedy: str
    of_machine: bool = False
    """Whether it depends on the machine the step runs on, not on the recipe alone."""


RULES = (
    Rule(
        "strategy.accelerator",
        lambda setup: setup.device == "gpu" and not setup.machine.nvidia,
        "there is no NVIDIA GPU here",
        "Set it to auto or cpu.",
        of_machine=True,
    ),
    Rule(
        "tuning.quantise",
        lambda setup: setup.quantised and (setup.device != "gpu" or not setup.machine.nvidia),
        "weights in 4 bits need an NVIDIA GPU",
        "Set tuning.quantise=none, or run the step on a machine with one.",
        of_machine=True,
    ),
    Rule(
        "tuning.quantise",
        lambda setup: setup.quantised and not setup.machine.has("bitsandbytes"),
        "weights in 4 bits need bitsandbytes, not installed here",
        "pip install bitsandbytes",
        of_machine=True,
    ),
    Rule(
        "tuning.merge",
        lambda setup: setup.quantised and setup.lora.merge,
        "an adapter trained over 4-bit weights does not answer the same over whole ones",
        "Set tuning.merge=false: the adapter stays beside the weights.",
    ),
    Rule(
        "precision",
        lambda setup: (
            setup.config.precision == "bf16" and setup.device == "cpu" and not setup.machine.computes_bf16
        ),
        "this processor has no bf16 and would compute it many times slower than fp32",
        "Set precision=fp32.",
        of_machine=True,
    ),
    Rule(
        "tuning.frozen",
        lambda setup: (
            setup.lora.frozen == "bf16" and setup.device == "cpu" and not setup.machine.computes_bf16
        ),
        "this processor has no bf16 and would compute it many times slower than fp32",
        "Set tuning.frozen=fp32.",
        of_machine=True,
    ),
    Rule(
        "tuning.merge",
        lambda setup: setup.lora.frozen == "bf16" and setup.lora.merge,
        "an adapter trained over rounded weights does not answer the same over whole ones",
        "Set tuning.merge=false: the adapter stays beside the weights.",
    ),
    Rule(
        "batching",
        lambda setup: setup.config.batching == "packs" and setup.config.objective.use == "seq2seq",
        "examples of a source and a target cannot share a row",
        "Set batching=buckets.",
    ),
    Rule(
        "pack_length",
        lambda setup: setup.config.pack_length is not None and setup.config.batching != "packs",
        "it has no effect without packs",
        "Set batching=packs, or leave it out.",
    ),
    Rule(
        "pack_length",
        lambda setup: (
            (setup.config.pack_length or setup.config.max_length or 0) < (setup.config.max_length or 0)
        ),
        "a pack must hold the longest row",
        "Raise it to max_length.",
    ),
    Rule(
        "patience",
        lambda setup: setup.config.patience is not None and setup.config.validate_every is None,
        "nothing is validated on the way, so nothing could stop the training",
        "Set validate_every.",
    ),
    Rule(
        "patience",
        lambda setup: setup.config.patience is not None and not setup.config.validation_rows,
        "there are no rows to validate on",
        "Raise validation_rows.",
    ),
    Rule(
        "keep",
        lambda setup: setup.config.keep == "best" and not setup.config.validation_rows,
        "the best weights are those with the lowest validation loss, and there are no rows to validate on",
        "Raise validation_rows.",
    ),
    Rule(
        "accumulate",
        lambda setup: setup.config.accumulate % setup.processes != 0,
        "the micro-batches of an optimizer step cannot be shared evenly among the strategy's processes",
        "Make it a multiple of strategy.processes.",
    ),
)
"""Read from top to bottom; each broken one is a problem, never a warning."""


def problems(config: LightningTrain, step: str, machine: Machine, *, here: bool = True) -> Iterator[Problem]:
    """What of a training's choices does not go together; `here`: the step runs on this machine."""
    setup = Setup(config, machine)
    for rule in RULES:
        if (here or not rule.of_machine) and rule.broken(setup):
            yield Problem(f"{step}.{rule.field}", rule.what, rule.remedy)
