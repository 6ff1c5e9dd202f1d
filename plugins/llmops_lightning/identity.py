"""What must be equal for a checkpoint to lead to the same bytes."""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version
from typing import Any

import torch

from llmops_core.artifacts import Model
from llmops_core.settings import Part, declared

LIBRARIES = ("transformers", "peft")
"""What computes between our loss and torch."""


def identity(model: Model, plan_digest: str, config: Any, seed: int) -> dict[str, str]:
    """Model, plan and settings of a training, and the versions that decide the last bits."""
    return {
        "model": model.digest or f"{model.name} of {model.parameters} parameters",
        "plan": plan_digest,
        "settings": f"seed {seed}, {deciding(config)}",
        "torch": str(torch.__version__),
        **{library: version(library) for library in LIBRARIES},
        "machine": platform.machine(),
    }


def deciding(config: Any) -> str:
    """The fields of a config that can change the output."""
    if isinstance(config, Part):
        return f"{config.use}({deciding(config.config)})"
    if not dataclasses.is_dataclass(config):
        return repr(config)
    fields = [field for field in dataclasses.fields(config) if declared(field).output]
    return ", ".join(f"{field.name}={deciding(getattr(config, field.name))}" for field in fields)
