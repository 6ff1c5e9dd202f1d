"""Runs one step while watching it: `python -m llmops_core.testing.watched JOB.json`.

What the step reads, connects to, returns and changes is noted; the process kills itself in the middle of
the step when the job says so. Only what Python code of this process does is seen.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmops_core
from llmops_core import events
from llmops_core.artifacts import Artifact
from llmops_core.errors import LlmopsError
from llmops_core.files import read_json, write_json
from llmops_core.guards import told_as_error
from llmops_core.hookspecs import hookimpl
from llmops_core.plugins import load, resolve
from llmops_core.secrets import Secrets, named_in, redacted_streams
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_core.typed import plain
from llmops_core.worker import StepRequest, Worker

SYSTEM = (
    "/proc",
    "/sys",
    "/dev",
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/opt",
    "/run",
    "/System",
    "/Library",
)
CODE = (".py", ".pyc", ".pyi", ".so", ".pth", ".dylib")
LOCAL = ("127.", "::1", "localhost", "/", "0.0.0.0")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Watch:
    """A plugin that stands around the step, and the audit hook's memory."""

    kill_at: int
    """The moment at which this process kills itself; 0: never, -1: when the step returns."""
    active: bool = False
    moments: str = ""
    """What the step did: f or s, a file opened to write in its folder or in its scratch; e, an event."""
    read: dict[str, bool] = field(default_factory=dict)
    """Path -> whether there was something."""
    written: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    report: dict[str, Any] = field(default_factory=dict)
    own: tuple[str, ...] = ()

    @hookimpl(wrapper=True, tryfirst=True)
    def llmops_run_step(self, step: Any, run: StepRun) -> Iterator[None]:
        """Compare config before and after; note what comes back."""
        before = json.dumps(plain(step.config))
        self.own = (str(run.folder.resolve()), str(run.scratch.resolve()))
        began = time.perf_counter()
        self.active = True
        try:
            made = yield
        finally:
            self.active = False
        self.report["seconds"] = time.perf_counter() - began
        if self.kill_at == -1:
            _die()
        self.report["config_changed"] = before != json.dumps(plain(step.config))
        self.report["gave"] = type(made).__name__
        return made

    def tell(self, event: events.Event) -> None:
        """A moment in which the step can be killed."""
        self._moment("e")
        if isinstance(event, events.Log):
            sys.stderr.write(f"{event.text}\n")

    def audit(self, event: str, values: tuple[Any, ...]) -> None:
        """What Python tells of opened files and connections."""
        if not self.active:
            return
        if event == "open":
            self._opened(*values)
        elif event == "socket.connect":
            address = values[1]
            self.reached.add(str(address[0] if isinstance(address, tuple) else address))
        elif event == "socket.getaddrinfo":
            self.reached.add(str(values[0]))

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        if not isinstance(path, (str, bytes)):
            return
        place = os.path.realpath(os.fsdecode(path))
        writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & WRITES)
        if writes:
            self.written.add(place)
            if place.startswith(self.own):
                self._moment("s" if place.startswith(self.own[1]) else "f", place)
        elif place not in self.read:
            self.read[place] = os.path.exists(place)  # noqa: PTH110 - cheap, within the audit hook

    def _moment(self, letter: str, file: str = "") -> None:
        self.moments += letter
        if len(self.moments) != self.kill_at:
            return
        if file:
            self.active = False
            Path(file).write_bytes(b"")  # as a kill between the opening and the writing leaves it
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(path: str) -> int:
    """Do a job; its report is written beside it, as NAME.report.json."""
    job = read_json(Path(path))
    watch = Watch(job["kill_at"])
    report = watch.report
    try:
        if job["undo"]:
            _undo(job)
        else:
            _run(job, watch)
    except LlmopsError as error:
        report["error"] = str(error)
    report["moments"] = watch.moments
    report["read"] = sorted(_outside(watch, job))
    report["reached"] = sorted(one for one in watch.reached if not one.startswith(LOCAL))
    write_json(Path(path).with_suffix(".report.json"), report)
    return 1 if "error" in report else 0


def _run(job: Mapping[str, Any], watch: Watch) -> None:
    request = StepRequest(**job["request"])
    secrets = Secrets()
    secrets.expect(named_in(request.config))
    with redacted_streams(secrets), told_as_error(request.step, Path(job["folder"]), secrets):
        plugins = load([("watch", watch)])
        # imported before it is watched, too: the moments are the step's own
        watch.report["unfit"] = [text for one in job["references"] if (text := _misfit(*one))]
        sys.addaudithook(watch.audit)
        worker = Worker(plugins, watch.tell, secrets)
        stored = worker.work(request)
        watch.report["digest"] = stored.digest
        watch.report["process"] = getattr(stored, "process", 0)
        watch.report["url"] = getattr(stored, "url", "")


def _misfit(
    label: str, reference: str, arguments: int, names: Sequence[str] | None, optional: Sequence[str]
) -> str:
    """Why a function cannot be called with so many arguments and these names; `names` None: any will do."""
    function = resolve(reference)
    if not callable(function):
        return f"{label}: {reference} is no function"
    if names is None:
        return ""
    signature = inspect.signature(function)
    names = [*names, *(name for name in optional if name in signature.parameters)]
    try:
        signature.bind(*range(arguments), **dict.fromkeys(names))
    except TypeError as error:
        wanted = ", ".join([*("config", "run")[:arguments], *(f"{name}=..." for name in names)])
        return f"{label}: {reference} cannot be called with ({wanted}): {error}"
    return ""


def _undo(job: Mapping[str, Any]) -> None:
    """Release a live thing that another process made; a second time must do no harm."""
    request = StepRequest(**job["request"])
    with told_as_error(request.step, Path(job["folder"]), Secrets()):
        worker = Worker(load())
        made: Artifact = Store(Path(request.store)).open(job["undo"])
        for turn in ("first", "second"):
            worker.undo(request, made, worker.run_for(request, Path(job["folder"]) / turn))


def _outside(watch: Watch, job: Mapping[str, Any]) -> Iterator[str]:
    """What was read that is neither an input, nor the step's own, nor the machine's software."""
    modules = [getattr(one, "__file__", None) for one in list(sys.modules.values())]
    code = {str(Path(file).parent) for file in modules if isinstance(file, str)}
    roots = (
        *SYSTEM,
        sys.prefix,
        sys.base_prefix,
        *code,
        str(Path(llmops_core.__file__).parent),
        *job["allowed"],
    )
    allowed = {os.path.realpath(one) for one in roots}
    for place, exists in watch.read.items():
        known = any(str(parent) in allowed for parent in (Path(place), *Path(place).parents))
        if known or place in watch.written or place.endswith(CODE):
            continue
        if exists:
            yield place


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
