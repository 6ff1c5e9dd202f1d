"""Where a step's process runs: in the process of the run, or wherever a launcher starts the worker.

A launcher is an implementation of the group "launch": `function(config, command, run) -> exit status`. It
has to run `command` (a list of words) to its end on a machine that sees the store; the worker reads the
request the command names, and writes its answer beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core import errors, events
from llmops_core.artifacts import Artifact
from llmops_core.errors import LlmopsError, Problem, RecipeError, StepError
from llmops_core.files import read_json, write_json
from llmops_core.settings import Part, setting
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_core.worker import StepRequest, Worker, as_json

HERE = "here"
LOOK_EVERY = 0.2
"""Seconds between looks at what a worker told."""


@dataclass(frozen=True)
class HereLaunch:
    """In the process of the run itself."""


@dataclass(frozen=True)
class ProcessLaunch:
    """In a process of its own on this machine: its memory is given back, and its crash ends nothing else."""

    niceness: int = setting(
        0, doc="How much it gives way to others, as in nice(1).", at_least=0, at_most=19, output=False
    )
    through: Sequence[str] = setting(
        (),
        doc="A program and its options that start the process, here or elsewhere, once or several times: "
        "torchrun, srun. It is given the worker's command, and must see this folder and the store.",
        output=False,
    )


def here(config: HereLaunch, command: Sequence[str], run: StepRun) -> int:
    """Stands for no launcher at all: `launched` never calls it."""
    raise StepError("a step that runs here needs no launcher", where=run.step)


def process(config: ProcessLaunch, command: Sequence[str], run: StepRun) -> int:
    """Run the worker as a child of this process. Raises StepError when there is no such program."""
    gives_way = ["nice", "-n", str(config.niceness)] if config.niceness else []
    through = list(config.through)
    if through:
        # also beside this Python: torchrun is there, whether or not its environment is activated
        places = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
        program = shutil.which(through[0], path=places)
        if program is None:
            what = f"there is no program {through[0]} here"
            remedy = "Install it, or name its whole path."
            raise StepError(what, where=f"{run.step}.launch.through", remedy=remedy)
        through[0] = program
    return _ended([*gives_way, *through, *command])


def _ended(words: Sequence[str]) -> int:
    """The status that a program ends with. Told to end, it is told too and waited for: a training saves
    itself first. Told again, it is killed."""
    child = subprocess.Popen(words)
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    finally:
        child.kill()


def launched(request: StepRequest, part: Part, worker: Worker) -> Artifact:
    """Run a step where `part` says. Raises what the step raised, or StepError when its process died."""
    if part.use == HERE:
        return worker.work(request)
    store = Store(Path(request.store))
    folder = store.root / "runs" / request.run / "steps"
    path = folder / f"{request.step}.json"
    answer, told = path.with_suffix(".answer.json"), path.with_suffix(".events.jsonl")
    for old in (answer, told):
        old.unlink(missing_ok=True)
    write_json(path, as_json(request))
    temporary = store.temporary(f"launch-{request.step}")
    try:
        with _following(told, worker.tell):
            command = [sys.executable, "-m", "llmops_core.worker", str(path.resolve())]
            status = worker.load_part(part)(part.config, command, worker.run_for(request, temporary))
    finally:
        shutil.rmtree(temporary.parent, ignore_errors=True)
    return _answered(answer, status, request, store)


def _answered(answer: Path, status: int, request: StepRequest, store: Store) -> Artifact:
    try:
        found = read_json(answer)
    except FileNotFoundError:
        what = f"its process ended with status {status} and gave no answer"
        remedy = "A status below 0 or above 128 is a signal; 9 is often the system short of memory."
        raise StepError(what, where=request.step, remedy=remedy) from None
    if "error" in found:
        raise _error(found)
    return store.open(found["output"])


def _error(answer: dict[str, Any]) -> LlmopsError:
    """The error that a worker told, of its class; StepError where that cannot be made of one problem."""
    kind = getattr(errors, str(answer.get("kind")), StepError)
    if not issubclass(kind, LlmopsError) or issubclass(kind, RecipeError):
        kind = StepError
    problem = Problem(**answer["error"])
    error: LlmopsError = kind(problem.what, where=problem.where, remedy=problem.remedy)
    return error


@contextmanager
def _following(path: Path, tell: Callable[[events.Event], None]) -> Iterator[None]:
    """Tell what a worker writes to its file of events, while the block runs and to the end of it."""
    over = threading.Event()
    position = 0

    def look() -> None:
        nonlocal position
        if not path.exists():
            return
        with path.open("rb") as lines:
            lines.seek(position)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                tell(events.from_json(json.loads(line)))

    def follow() -> None:
        while not over.wait(LOOK_EVERY):
            look()

    thread = threading.Thread(target=follow, name="events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        look()
