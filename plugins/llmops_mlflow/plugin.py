"""Offers MLflow as a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmops_core.events import Event
from llmops_core.hookspecs import Implementation, hookimpl

LLMOPS_CONTRACT = 1

MLFLOW = Implementation(
    "track",
    "mlflow",
    "llmops_mlflow.config:MLflowTrack",
    "llmops_mlflow.tracker:start",
    about="MLflow: a SQLite file beside the store, or a server",
    needs=("mlflow", "sqlalchemy", "alembic"),
    extra="llmops[track]",
)


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The tracker `mlflow`."""
    return [MLFLOW]


@hookimpl(trylast=True)  # after the report was written
def llmops_event(run: Any, event: Event) -> None:
    """Pass events on to the recipe's MLflow trackers."""
    # imported here: every command loads this module, and only runs have events
    from llmops_core.tracking import follow

    follow(MLFLOW, run, event)
