"""Small plugins and questions that tests of runs share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Dataset
from llmops_core.config import Step
from llmops_core.hookspecs import hookimpl
from llmops_core.step import StepRun

CONTENT_STEPS = 5


class Instead:
    """Does something of a test's own in place of a step."""

    def __init__(self, step: str, work: Callable[[StepRun], Any]) -> None:
        self.step, self.work, self.calls = step, work, 0

    @hookimpl(tryfirst=True)
    def llmops_run_step(self, step: Step, run: StepRun) -> Any:
        if step.name != self.step:
            return None
        self.calls += 1
        return self.work(run)


class Watch:
    """Calls a function with every event."""

    def __init__(self, see: Callable[[Any, events.Event], None]) -> None:
        self.see = see

    @hookimpl
    def llmops_event(self, run: Any, event: events.Event) -> None:
        self.see(run, event)


def raises(error: BaseException) -> Callable[[StepRun], Any]:
    def work(run: StepRun) -> Any:
        raise error

    return work


def outputs(run: Any) -> list[str]:
    return [step.get("output", "") for step in run.document["steps"]][:CONTENT_STEPS]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.02)


def written(run: StepRun, row: str) -> Dataset:
    (run.folder / "train.jsonl").write_text(json.dumps({"row": row}) + "\n")
    return Dataset(folder=run.folder, rows={"train": 1}, shape="fake")
