"""What a recipe may say of Weights & Biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmops_core.settings import setting


@dataclass(frozen=True)
class WandbTrack:
    """Records a run in Weights & Biases."""

    mode: Literal["online", "offline"] = setting(
        "online",
        doc="offline: into the folder wandb in the store's folder, to be sent later with `wandb sync`.",
        output=False,
    )
    project: str = setting("", doc="The project's name. Empty: the recipe's.", output=False)
    entity: str | None = setting(None, doc="The user or team. None: the key's own.", output=False)
    url: str | None = setting(
        None, doc="The server's address. None: what WANDB_BASE_URL says, else wandb.ai.", output=False
    )
    api_key: str | None = setting(
        None, doc="None: what WANDB_API_KEY or `wandb login` says.", secret=True, output=False
    )
    registry: bool = setting(True, doc="Whether releases become versions of a model artifact.", output=False)
    model: str = setting("", doc="The model artifact's name. Empty: the recipe's.", output=False)
    wait: float = setting(
        30.0,
        doc="How long the run's end waits for what is not yet sent.",
        unit="seconds",
        at_least=0,
        output=False,
    )
