"""Writes report.html into a run's folder when the run is over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops_core import events
from llmops_core.errors import LlmopsError
from llmops_core.files import write_text
from llmops_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from llmops_core.artifacts import Artifact

LLMOPS_CONTRACT = 1

FILE = "report.html"


@hookimpl
def llmops_event(run: Any, event: events.Event) -> None:
    """Write the report once the run has ended; what goes wrong is raised, for the core to tell."""
    if isinstance(event, events.RunEnded):
        write_report(run, event)


def write_report(run: Any, event: events.RunEnded) -> Path:
    """Render a run's record and put it in place at once. Raises OSError when it cannot be written."""
    # Imported here: every command loads this module, and hardly any writes a report.
    from llmops_report.page import render

    artifacts, notes = _artifacts(run)
    document = run.secrets.redact(_ended(run.document, event))
    path: Path = run.folder / FILE
    write_text(path, render(document, artifacts, run.secrets.redact(notes)))
    return path


def _ended(document: Mapping[str, Any], event: events.RunEnded) -> Mapping[str, Any]:
    """The record as it will be: this event may come before the record says how the run ended."""
    if document.get("status") not in (None, "", "running"):
        return document
    return {**document, "status": event.status, "seconds": document.get("seconds") or event.seconds}


def _artifacts(run: Any) -> tuple[dict[str, Artifact], list[str]]:
    """What each step gave, by step; and a sentence for each that could not be read."""
    artifacts: dict[str, Artifact] = {}
    notes: list[str] = []
    for step in run.document.get("steps") or ():
        name, digest = step.get("name", ""), step.get("output")
        if not digest:
            continue
        try:
            artifacts[name] = run.artifact(digest)
        except (LlmopsError, LookupError, OSError) as error:
            notes.append(f"What {name} gave could not be read, so it is left out here: {error}")
    return artifacts, notes
