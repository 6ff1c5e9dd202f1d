"""Runs a step that looks at one row at a time on a Ray cluster, by Ray Data.

Batches of rows travel through Ray's object store and come back as what they became, so the machines need
share no disk; this process writes what comes back, as it does for its own processes. The same sources of the
step are wanted on every machine, and each looks before it begins.
"""

from __future__ import annotations

import logging
import pickle
import socket
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import ray
import ray.data
from ray.util.annotations import RayDeprecationWarning

from llmops_core.errors import DataError, StepError
from llmops_core.keys import code_digest, content
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_data.config import Ray
from llmops_data.parallel import Became, TakenUp, Work, became, named, work_of
from llmops_data.stored import StoredRows, decoded

FEWEST = 4
"""Batches of rows below which a step stays in this process."""
BLOCKS, LEAST_BLOCKS = 8, 4
"""Blocks for each task that runs at once: the most that are handed over together (more would fill the object
store), and the fewest that rows are cut into."""
LARGEST = 32_000_000
"""Bytes of a block; it ends early where texts are long."""
TRIES = 3
"""Times that a block is tried again when the process that had it died."""


@dataclass(frozen=True)
class OnRay:
    """The engine; `join` is called when a step first needs the cluster."""

    config: Ray
    join: Callable[[], None]

    def takes(self, function: Callable[..., Any], part: Part, rows: StoredRows) -> bool:
        """Whether the step can go to another machine, and has enough to do."""
        return rows.batches >= FEWEST and named(function) and not in_store(function, part)

    def batches(
        self, function: Callable[..., Any], part: Part, run: StepRun, rows: StoredRows
    ) -> Iterator[Became]:
        """What each batch became, in order. Raises what the step raises, and DataError when Ray fails."""
        self.join()
        work = work_of(function, part, run)
        # by reference: what is an argument of a task is written into Ray's plans, and secrets are in this
        held = ray.put((work, code_digest(f"{work.module}:{work.function}")))
        tasks = max(1, int(ray.cluster_resources().get("CPU", 1) / self.config.cpus))
        tasks = min(tasks, self.config.tasks or tasks)
        # fewer to a block where some of the cluster would have nothing to do
        blocks = self._blocks(rows, min(self.config.rows, len(rows) // (tasks * LEAST_BLOCKS)))
        try:
            while some := list(islice(blocks, tasks * BLOCKS)):
                for found in self._mapped(some, held):
                    if isinstance(found, BaseException):
                        raise found
                    yield became(found, run)
        except ray.exceptions.RayError as error:
            raise failed(error, run.step) from error

    def _blocks(self, rows: StoredRows, least: int) -> Iterator[pa.Table]:
        """Batches of rows in order, encoded, with at least so many rows to a block unless they are long."""
        waiting: list[bytes] = []
        count = size = 0
        for number in range(rows.batches):
            waiting.append(rows.stream(number))
            count, size = count + rows.size(number), size + len(waiting[-1])
            if count >= least or size >= LARGEST:
                yield _table(waiting)
                waiting, count, size = [], 0, 0
        if waiting:
            yield _table(waiting)

    def _mapped(self, blocks: list[pa.Table], held: Any) -> Iterator[Any]:
        """What each batch of some blocks became, or the error at which its block ended."""
        with ray.data.DataContext.current(_in_order()), warnings.catch_warnings():
            # of its own Ray Data would try for ever, and has no newer name for max_retries
            warnings.simplefilter("ignore", RayDeprecationWarning)
            found = ray.data.from_arrow(blocks).map_batches(
                _block,
                fn_args=[held],
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.TaskPoolStrategy(min(self.config.tasks or len(blocks), len(blocks))),
                num_cpus=self.config.cpus,
                max_retries=TRIES,
            )
        for row in found.iter_rows():
            yield row["done"]


def in_store(function: Callable[..., Any], part: Part) -> bool:
    """Whether a step needs files of this machine: it says so, or its config names one."""
    says = getattr(function, "in_store", False)
    files: list[str] = []
    content(part, files.append)
    return bool(files or (says(part.config) if callable(says) else says))


def failed(error: Exception, step: str) -> DataError:
    """What a person can do about a failure of Ray's."""
    _, lacks, missing = str(error).partition("No module named ")
    if lacks:
        what = f"a machine of the Ray cluster lacks {missing.partition(chr(10))[0].strip()}"
        remedy = "Install llmops[data,ray], and the plugins of the recipe, on every machine of the cluster."
        return DataError(what, where=step, remedy=remedy)
    if isinstance(error, ray.exceptions.WorkerCrashedError):
        what = f"the process of a Ray task died, {TRIES + 1} times with the same rows"
    else:
        what = f"Ray failed: {str(error).strip().partition(chr(10))[0] or type(error).__name__}"
    remedy = (
        "Was memory short? Set engine.rows lower or engine.cpus higher; ray status tells of the machines."
    )
    return DataError(what, where=step, remedy=remedy)


def _in_order() -> Any:
    """Ray Data's settings for what comes out to be in order, and nothing to be printed."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # it sets deprecated settings of its own
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ray.data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    return context


def _table(batches: list[bytes]) -> pa.Table:
    return pa.table({"rows": pa.array(batches, pa.large_binary())})


# -- on the cluster ------------------------------------------------------------------------------


def _block(table: pa.Table, held: Any) -> dict[str, Any]:
    """What each batch of a block became; what is raised is given back as it is, and ends the block."""
    found: list[Any] = []
    with tempfile.TemporaryDirectory() as home:
        try:
            work, code = ray.get(held)
            step = _taken_up(work, code, Path(home))
            for one in table.column("rows"):
                found.append(step.done(decoded(next(iter(pa.ipc.open_stream(one.as_buffer()))))))
                _nothing_written(work, Path(home))
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            found.append(_portable(error))
    column = np.empty(len(found), object)
    column[:] = found
    return {"done": column}


def _taken_up(work: Work, code: str, home: Path) -> TakenUp:
    """A step, with folders of its own for the run's, which are on another machine."""
    if _code(f"{work.module}:{work.function}") != code:
        package = work.module.partition(".")[0]
        what = f"{socket.gethostname()}, of the Ray cluster, has other sources of {package} than this machine"
        raise DataError(what, remedy="Install the same version on all of them.")
    places = {name: home / name for name in ("folder", "scratch", "cache", "state")}
    for place in places.values():
        place.mkdir()
    return TakenUp(work, **places)


@cache
def _code(reference: str) -> str:
    return code_digest(reference)


def _nothing_written(work: Work, home: Path) -> None:
    """What a step leaves in its run's folders would be lost here."""
    left = [path.name for name in ("folder", "state") for path in (home / name).rglob("*") if path.is_file()]
    if left:
        what = (
            f"{work.module}.{work.function} writes a file ({left[0]}), which a Ray cluster cannot give back"
        )
        raise StepError(what, remedy=f"Set engine=local; whoever wrote it: {work.function}.in_store = True.")


def _portable(error: Exception) -> Exception:
    """An error that can be sent back."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (what we just wrote)
    except Exception:
        return StepError(f"{type(error).__name__}: {error}")
    return error
