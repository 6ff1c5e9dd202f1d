"""Runs a step that looks at one row at a time in several processes; what comes out is in the rows' order.

A process is given the place of a batch on disk and gives back the batch it became: rows travel encoded.
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
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from llmops_core.errors import DataError
from llmops_core.events import Event
from llmops_core.settings import Part
from llmops_core.step import SECRET_OPENS, StepRun, secret_name
from llmops_core.typed import plain
from llmops_data.rows import Outcome
from llmops_data.stored import StoredRows, encoded

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
    rows: Path
    run: Mapping[str, Any]
    secrets: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """What became of one batch."""

    batch: bytes
    seen: int
    counts: Mapping[str, int]
    told: list[Event]


def worthwhile(function: Callable[..., Any], rows: StoredRows, workers: int) -> bool:
    """Whether several processes are allowed, can find the function by its name, and have enough to do."""
    module, name = function.__module__, function.__qualname__
    found = name.isidentifier() and getattr(import_module(module), name, None) is function
    return workers > 1 and found and rows.batches >= workers * BATCHES_A_PROCESS


def batches(
    function: Callable[..., Any], part: Part, run: StepRun, rows: StoredRows, workers: int
) -> Iterator[tuple[pa.RecordBatch, Done]]:
    """What each batch became, in order. Raises what the step raises."""
    kept = {
        name: getattr(run, name) for name in ("folder", "scratch", "cache", "state", "step", "run", "seed")
    }
    others = {"environment": run.environment, "offline": run.offline}
    work = Work(
        function.__module__, function.__qualname__, part.config, rows.path, kept | others, _secrets(part, run)
    )
    waiting: deque[Future[Done]] = deque()
    # spawned, not forked: this process has threads of Arrow's and perhaps of others
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (work, os.getpid())) as pool:
        try:
            for number in range(rows.batches):
                waiting.append(pool.submit(_batch, number))
                if len(waiting) >= workers * AHEAD:
                    yield _taken(waiting.popleft(), run)
            while waiting:
                yield _taken(waiting.popleft(), run)
        except BrokenProcessPool as error:
            remedy = "Was memory short? Set workers: 1."
            raise DataError("a process of the step died", where=run.step, remedy=remedy) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _taken(future: Future[Done], run: StepRun) -> tuple[pa.RecordBatch, Done]:
    done = future.result()
    for event in done.told:
        run.tell(event)
    return next(iter(pa.ipc.open_stream(done.batch))), done


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


def _begin(work: Work, parent: int) -> None:
    """Take up a step. A process whose parent is gone ends too: nobody would tell it to."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    told: list[Event] = []
    run = StepRun(**work.run, tell=told.append, read_secret=work.secrets.__getitem__)
    function = getattr(import_module(work.module), work.function)
    _taken_up.update(function=function, config=work.config, run=run, rows=StoredRows(work.rows), told=told)


def _batch(number: int) -> Done:
    from llmops_data.pipeline import accounted, outcome_of

    rows, told = _taken_up["rows"].batch(number), _taken_up["told"]
    told.clear()
    outcome: Outcome = outcome_of(_taken_up["function"](_taken_up["config"], _taken_up["run"], rows=rows))
    left, counts = accounted(rows, outcome)
    batch = encoded(list(left))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return Done(sink.getvalue().to_pybytes(), len(rows), dict(counts()), list(told))
