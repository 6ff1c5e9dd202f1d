"""What a recipe may say about machines."""

from __future__ import annotations

from dataclasses import dataclass

from llmops_core.settings import setting


@dataclass(frozen=True)
class ThisMachineInfra:
    """Takes this machine as it is; a run ends before its deployment when it is smaller than asked for."""

    min_cores: int = setting(1, doc="Processor cores it must have.", at_least=1)
    min_memory: float = setting(0.0, doc="Memory it must have.", unit="GB", at_least=0)
    min_gpus: int = setting(0, doc="Accelerators it must have.", at_least=0)
