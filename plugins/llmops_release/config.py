"""The fields of the release stage `gated`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llmops_core.settings import setting


@dataclass(frozen=True)
class Gate:
    """What one score must keep to. At least one bound; a score that is not a number never passes."""

    at_most: float | None = setting(None, doc="The score may not be above this.")
    at_least: float | None = setting(None, doc="The score may not be below this.")
    on: Literal["value", "interval"] = setting(
        "value",
        doc="What is compared: the value itself, or its interval's worse end (high with at_most, low with "
        "at_least), so that chance alone can hardly pass it.",
    )

    def __post_init__(self) -> None:
        if self.at_most is None and self.at_least is None:
            raise ValueError("a gate needs at_most or at_least")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}: nothing passes")


@dataclass(frozen=True)
class GatedRelease:
    """Releases the candidate only when every gate passes."""

    gates: Mapping[str, Gate] = setting(
        factory=dict, doc="By a score's name: what it must keep to (perplexity_ratio: {at_most: 0.8})."
    )
    name: str = setting("", doc="What the release is called in its model card; empty: the candidate's name.")
    summary: str = setting("", doc="A sentence for the model card: what the model is for.")
    license: str = setting(
        "", doc="The licence of what is released, as an SPDX id (apache-2.0); empty: the base model's holds."
    )
