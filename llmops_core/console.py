"""Shows a run on the terminal as it goes, and what came of it. One plugin among others."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llmops_core import events, listing, wording
from llmops_core.artifacts import Scores
from llmops_core.errors import LlmopsError
from llmops_core.hookspecs import hookimpl
from llmops_core.manifest import Manifest

SAMPLES = 3
WIDTH = 100
PROGRESS_EVERY = 30.0
"""Seconds between lines of progress where there is no terminal."""


@dataclass
class Console:
    """Prints to standard error while a run goes: bars on a terminal, lines elsewhere."""

    bars: bool = field(default_factory=lambda: sys.stderr.isatty())
    clock: Callable[[], float] = time.monotonic
    _progress: Any = None
    _task: Any = None
    _width: int = 10
    _said: float = 0.0

    @hookimpl
    def llmops_event(self, run: Manifest, event: events.Event) -> None:
        """Show one event."""
        if isinstance(event, events.RunStarted):
            names = [len(step["name"]) for step in run.document["steps"]]
            self._width = max(names, default=10)
            self._line(f"run {run.id} · {run.document['recipe']} · {run.folder}")
        elif isinstance(event, events.StepStarted):
            self._begin(event.step)
        elif isinstance(event, events.Progress):
            self._advance(event)
        elif isinstance(event, events.Log):
            self._say(event.step, f"warning: {event.text}" if event.level == "warning" else event.text)
        elif isinstance(event, events.StepReused):
            self._say(event.step, f"reused    {event.result}")
        elif isinstance(event, events.StepEnded):
            self._finish()
            self._say(event.step, f"{wording.duration(event.seconds):<9} {event.result}")
        elif isinstance(event, events.StepRetried):
            self._say(
                event.step, f"attempt {event.attempt} failed: {event.error} Trying again in {event.wait:g} s."
            )
        elif isinstance(event, events.StepFailed):
            self._finish()
            self._say(event.step, event.status)
        elif isinstance(event, events.RunEnded):
            self._finish()

    def _say(self, step: str, text: str) -> None:
        self._line(f"  {step:<{self._width}}  {text}" if step else f"  {text}")

    def _line(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def _begin(self, step: str) -> None:
        self._said = self.clock()
        if not self.bars:
            return
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counted]}  {task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            console=Terminal(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(f"{step:<{self._width}}", total=None, counted="", numbers="")
        self._progress.start()

    def _advance(self, event: events.Progress) -> None:
        numbers = "  ".join(f"{name} {wording.score(value)}" for name, value in event.numbers.items())
        counted = f"{event.done:,.0f}/{event.total:,.0f}" if event.total else ""
        if self._progress is None:
            if self.clock() - self._said >= PROGRESS_EVERY:
                self._said = self.clock()
                self._say(event.step, f"{counted}  {numbers}".strip())
            return
        self._progress.update(
            self._task, completed=event.done, total=event.total or None, counted=counted, numbers=numbers
        )

    def _finish(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def summary(run: Manifest) -> str:
    """What came of a run, for a person: steps, before and after, sample answers, where the report lies."""
    document = run.document
    lines = ["", listing.run_table(document)]
    for record in document["steps"]:
        artifact = _artifact(run, record)
        if isinstance(artifact, Scores):
            title = "before -> after" if artifact.baseline else "scores"
            lines += ["", f"{title} (95 % intervals, {artifact.rows:,} held-out rows)"]
            lines.append(listing.scores(artifact.values, artifact.baseline))
            lines += samples(artifact)
    seconds = wording.duration(document.get("seconds") or 0)
    report = run.folder / "report.html"
    where = f" · report: {report}" if report.exists() else ""
    lines += ["", f"{document['status']} in {seconds} · llmops runs show {run.id}{where}"]
    return "\n".join(lines)


def samples(scores: Scores, count: int = SAMPLES) -> list[str]:
    """The first sample answers side by side."""
    path = scores.folder / "samples.jsonl"
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines()[:count]:
        sample = json.loads(text)
        lines.append("")
        for label, key in (
            ("asked", "prompt"),
            ("wanted", "reference"),
            ("before", "baseline"),
            ("after", "candidate"),
        ):
            if sample.get(key):
                shown = textwrap.shorten(str(sample[key]), WIDTH, placeholder=" ...")
                lines.append(f"  {label:<7} {shown}")
    return lines


def _artifact(run: Manifest, record: dict[str, Any]) -> Any:
    try:
        return run.artifact(record["output"]) if record.get("output") else None
    except LlmopsError:
        return None  # gone since: the summary then does without
