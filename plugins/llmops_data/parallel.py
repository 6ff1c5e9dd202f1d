"""Where the rows of a step go that looks at one row at a time: the group "data/engine", and its `local`.

An engine is `def name(config, run: StepRun, workers: int)`, a context that gives an Engine. It may run a step
in any process, on any machine; what comes out is in the rows' order, so that the choice changes no byte.

`local` gives several processes of this machine the place of a batch on disk; each gives back the batch that
it became, encoded.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa  # type: ignore[import-untyped]

from llmops_core.errors import DataError
from llmops_core.events import Event
from llmops_core.settings import Part
from llmops_core.step import SECRET_OPENS, StepRun, secret_name
from llmops_core.typed import plain
from llmops_data.config import Local
from llmops_data.rows import Row
from llmops_data.stored import StoredRows, encoded, streamed

BATCHES_A_PROCESS = 4
"""With fewer, starting a process takes longer than it saves."""
AHEAD = 4
"""Batches a process that may wait to be written."""


@dataclass(frozen=True)
class Work:
    """A step as another process can take it up."""

    module: str
    function: str
    config: Any
    run: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Done:
    """What became of one batch."""

    batch: bytes
    seen: int
    counts: Mapping[str, int]
    told: list[Event]


Became = tuple[pa.RecordBatch, Done]
"""The rows that are left of a batch, and the rest of what became of it."""


class Engine(Protocol):
    """Runs steps that look at one row at a time."""

    def takes(self, function: Callable[..., Any], part: Part, rows: StoredRows) -> bool:
        """Whether the step can be run elsewhere, and has enough to do; else it runs in this process."""

    def batches(
        self, function: Callable[..., Any], part: Part, run: StepRun, rows: StoredRows
    ) -> Iterator[Became]:
        """What each batch became, in order. Raises what the step raises."""


@contextmanager
def local(config: Local, run: StepRun, workers: int) -> Iterator[Engine]:
    """So many processes of this machine, started for each step."""
    yield Processes(workers)


def named(function: Callable[..., Any]) -> bool:
    """Whether another process can find the function by its name."""
    module, name = function.__module__, function.__qualname__
    return name.isidentifier() and getattr(import_module(module), name, None) is function


@dataclass(frozen=True)
class Processes:
    """Several processes of this machine."""

    workers: int

    def takes(self, function: Callable[..., Any], part: Part, rows: StoredRows) -> bool:
        """Whether several are allowed, can find the function by its name, and have enough to do."""
        return self.workers > 1 and named(function) and rows.batches >= self.workers * BATCHES_A_PROCESS

    def batches(
        self, function: Callable[..., Any], part: Part, run: StepRun, rows: StoredRows
    ) -> Iterator[Became]:
        """What each batch became, in order. Raises what the step raises."""
        waiting: deque[Future[Done]] = deque()
        # spawned, not forked: this process has threads of Arrow's and perhaps of others
        context = multiprocessing.get_context("spawn")
        begin = (work_of(function, part, run), rows.path, os.getpid())
        with ProcessPoolExecutor(self.workers, context, _begin, begin) as pool:
            try:
                for number in range(rows.batches):
                    waiting.append(pool.submit(_batch, number))
                    if len(waiting) >= self.workers * AHEAD:
                        yield became(waiting.popleft().result(), run)
                while waiting:
                    yield became(waiting.popleft().result(), run)
            except BrokenProcessPool as error:
                remedy = "Was memory short? Set workers: 1."
                raise DataError("a process of the step died", where=run.step, remedy=remedy) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def became(done: Done, run: StepRun) -> Became:
    """What came from another process, and tell what was told there."""
    for event in done.told:
        run.tell(event)
    return next(iter(pa.ipc.open_stream(done.batch))), done


def work_of(function: Callable[..., Any], part: Part, run: StepRun) -> Work:
    """A step made ready to be taken up elsewhere."""
    kept = {
        name: getattr(run, name) for name in ("folder", "scratch", "cache", "state", "step", "run", "seed")
    }
    others = {"environment": run.environment, "offline": run.offline}
    return Work(function.__module__, function.__qualname__, part.config, kept | others, _secrets(part, run))


def _secrets(part: Part, run: StepRun) -> dict[str, str]:
    """The values of the secrets that a step's config names; they go through a pipe of our own."""
    found: dict[str, str] = {}
    waiting = [plain(part)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and value.startswith(SECRET_OPENS):
            found[secret_name(value)] = run.secret(value)
    return found


# -- in the other process ------------------------------------------------------------------------

_taken_up: dict[str, Any] = {}


def _begin(work: Work, rows: Path, parent: int) -> None:
    """Take up a step. A process whose parent is gone ends too: nobody would tell it to."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    _taken_up.update(step=TakenUp(work), rows=StoredRows(rows))


def _batch(number: int) -> Done:
    done: Done = _taken_up["step"].done(_taken_up["rows"].batch(number))
    return done


class TakenUp:
    """A step in the process that runs it."""

    def __init__(self, work: Work, **places: Path) -> None:
        self._told: list[Event] = []
        about = {**work.run, **places}
        self._run = StepRun(**about, tell=self._told.append, read_secret=work.secrets.__getitem__)
        self._function = getattr(import_module(work.module), work.function)
        self._config = work.config

    def done(self, rows: list[Row]) -> Done:
        """What becomes of some rows. Raises what the step raises."""
        from llmops_data.pipeline import accounted, outcome_of

        self._told.clear()
        outcome = outcome_of(self._function(self._config, self._run, rows=rows))
        left, counts = accounted(rows, outcome)
        batch = streamed(encoded(list(left)))
        return Done(batch, len(rows), dict(counts()), list(self._told))
