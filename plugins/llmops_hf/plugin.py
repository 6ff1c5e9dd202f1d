"""What this plugin offers, and what it checks before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl

if TYPE_CHECKING:
    from llmops_core.config import Recipe

LLMOPS_CONTRACT = 1

OPEN_WEIGHTS = "open_weights"


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """One implementation of the stage `model`."""
    return [
        Implementation(
            group="model",
            name=OPEN_WEIGHTS,
            config="llmops_hf.config:HfModel",
            target="llmops_hf.open_weights:open_weights",
            about="Open weights from an address or a local folder; GGUF becomes safetensors once.",
            accepts=("safetensors", "gguf"),
            estimate="llmops_hf.estimate:estimate",
            needs=("torch", "transformers", "safetensors", "gguf", "accelerate"),
            extra="llmops[train]",
            seeded=False,
        )
    ]


@hookimpl
def llmops_check(recipe: Recipe) -> Sequence[Problem]:
    """Weights come from exactly one place."""
    problems = []
    for step in recipe.steps:
        if step.implementation.group != "model" or step.implementation.name != OPEN_WEIGHTS:
            continue
        config = step.config
        if config.address and config.path:
            where, what = f"{step.name}.path", "a model has an address or a path, not both"
            problems.append(Problem(where, what, "Remove one of them.", recipe.origin(where)))
        if not config.address and not config.path:
            where, what = step.name, "a model needs an address or a path"
            remedy = f"Set {step.name}.path=FOLDER or {step.name}.address=hf://ORG/NAME@REVISION."
            problems.append(Problem(where, what, remedy, recipe.origin(where)))
        if config.path and not _holds_a_model(Path(config.path)):
            where, what = f"{step.name}.path", f"there is no model in {config.path}"
            remedy = "Name the folder that holds config.json, or a GGUF file."
            problems.append(Problem(where, what, remedy, recipe.origin(where)))
    return problems


def _holds_a_model(place: Path) -> bool:
    """False for a folder that certainly holds none; an adapter is told by the step itself."""
    names = ("config.json", "adapter_config.json", "*.gguf")
    return not place.is_dir() or any(True for name in names for _ in place.glob(name))
