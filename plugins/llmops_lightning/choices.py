"""A training's choices beside the machine, and what a rule about them is.

Light: read when a recipe is checked, before anything is imported that could tell.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from llmops_lightning.config import LightningTrain, Lora, processes_of

BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""What a processor that computes in bf16 calls it in /proc/cpuinfo."""
GPU = "*/information"
OLDER = re.compile(r"\b(GTX|RTX [23]0\d\d|RTX A\d000|[MPVT]\d{1,3}0?|V100S?|A(10|16|2|30|40|100|800)G?)\b")
"""Names of NVIDIA GPUs from before Ada, which have no fp8; those of after differ in letters or numbers."""
FLASH = ("flash_attn", "flash_attn_interface")
"""The modules of FlashAttention 2 and 3."""


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

    @cached_property
    def reads_disks_ahead(self) -> bool:
        """Whether it has what DeepSpeed builds its access to disks from: libaio, with its headers."""
        return any(Path(place, "libaio.h").exists() for place in ("/usr/include", "/usr/local/include"))

    @cached_property
    def computes_fp8(self) -> bool:
        """Whether its NVIDIA GPUs multiply in 8 bits, from their names; where these cannot be read: yes."""
        told = [file.read_text(encoding="utf-8") for file in Path("/proc/driver/nvidia/gpus").glob(GPU)]
        return not any(OLDER.search(one) for one in told)

    @cached_property
    def compiles(self) -> bool:
        """Whether there is a C++ compiler where torch looks for one."""
        usual = "clang++" if platform.system() == "Darwin" else "g++"
        return shutil.which(os.environ.get("CXX") or usual) is not None

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
        if self.machine.nvidia:
            return "gpu"
        # processes exchange on the CPU there
        return "mps" if self.machine.apple and self.strategy == "single" else "cpu"

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
    def strategy(self) -> str:
        """How the work is spread, by name."""
        return self.config.strategy.use

    @property
    def on_disk(self) -> bool:
        """Whether anything lies on a disk while it is not needed."""
        chosen = self.config.strategy.config
        return "nvme" in (getattr(chosen, "offload", ""), getattr(chosen, "offload_weights", ""))

    @property
    def disk(self) -> str | None:
        """The folder for that."""
        found: str | None = getattr(self.config.strategy.config, "nvme_path", None)
        return found

    @property
    def replicated(self) -> bool:
        """Whether every process has all weights and the whole optimizer."""
        return self.config.strategy.use in ("single", "ddp")

    @property
    def flash(self) -> bool:
        """Whether FlashAttention is installed."""
        return any(self.machine.has(module) for module in FLASH)

    @property
    def processes(self) -> int:
        """How many processes share the work."""
        return processes_of(self.config)


@dataclass(frozen=True)
class Rule:
    """One cell of the matrix that does not work."""

    field: str
    broken: Callable[[Setup], bool]
    what: str
    remedy: str
    of_machine: bool = False
    """Whether it depends on the machine the step runs on, not on the recipe alone."""
