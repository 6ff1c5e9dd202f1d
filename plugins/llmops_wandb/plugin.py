"""Offers Weights & Biases as a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmops_core.events import Event
from llmops_core.hookspecs import Implementation, hookimpl

LLMOPS_CONTRACT = 1

WANDB = Implementation(
    "track",
    "wandb",
    "llmops_wandb.config:WandbTrack",
    "llmops_wandb.tracker:start",
    about="Weights & Biases, online or as files to be sent later",
    needs=("wandb",),
    extra="llmops[wandb]",
)


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The tracker `wandb`."""
    return [WANDB]


@hookimpl(trylast=True)  # after the report was written
def llmops_event(run: Any, event: Event) -> None:
    """Pass events on to the recipe's trackers of this kind."""
    # imported here: every command loads this module, and only runs have events
    from llmops_core.tracking import follow

    follow(WANDB, run, event)
