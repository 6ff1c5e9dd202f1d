"""What a recipe may say of Comet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llmops_core.settings import setting


@dataclass(frozen=True)
class CometTrack:
    """Records a run in Comet."""

    mode: Literal["online", "offline"] = setting(
        "online",
        doc="offline: into an archive in the folder comet in the store's folder, to be sent later with "
        "`comet upload`.",
        output=False,
    )
    project: str = setting("", doc="The project's name. Empty: the recipe's.", output=False)
    workspace: str | None = setting(None, doc="The workspace. None: the key's own.", output=False)
    api_key: str | None = setting(
        None, doc="None: what COMET_API_KEY or `comet login` says.", secret=True, output=False
    )
    registry: bool = setting(
        True, doc="Whether releases become versions of a registered model.", output=False
    )
    model: str = setting("", doc="The registered model's name. Empty: the recipe's.", output=False)
    wait: float = setting(
        30.0,
        doc="How long the run's end waits for what is not yet sent.",
        unit="seconds",
        at_least=0,
        output=False,
    )
