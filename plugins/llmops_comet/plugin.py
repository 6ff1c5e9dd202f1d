"""Offers Comet as a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmops_core.events import Event
from llmops_core.hookspecs import Implementation, hookimpl

LLMOPS_CONTRACT = 1

COMET = Implementation(
    "track",
    "comet",
    "llmops_comet.config:CometTrack",
    "llmops_comet.tracker:start",
    about="Comet, online or as files to be sent later",
    needs=("comet_ml",),
    extra="llmops[comet]",
)


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The tracker `comet`."""
    return [COMET]


@hookimpl(trylast=True)  # after the report was written
def llmops_event(run: Any, event: Event) -> None:
    """Pass events on to the recipe's trackers of this kind."""
    # imported here: every command loads this module, and only runs have events
    from llmops_core.tracking import follow

    follow(COMET, run, event)
