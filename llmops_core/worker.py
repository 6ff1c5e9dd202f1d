"""Runs one step from its request alone: `python -m llmops_core.worker REQUEST.json` composes nothing.

Every engine runs this same command; the default is to call `work` in the process of the run itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.artifacts import KINDS, Artifact
from llmops_core.config import Step
from llmops_core.errors import LlmopsError, PluginError, Problem, StepError, StoreError
from llmops_core.files import read_json, write_json
from llmops_core.guards import told_as_error
from llmops_core.hookspecs import Implementation
from llmops_core.migrate import Migration, migrate
from llmops_core.place import Place, place_in
from llmops_core.plugins import Plugins, load, resolve
from llmops_core.secrets import Secrets, named_in, redacted_streams
from llmops_core.settings import Part
from llmops_core.stages import BY_NAME
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_core.typed import Reading, plain

FORMAT = 1
REQUEST_MIGRATIONS: dict[int, Migration] = {}
OFFLINE = "LLMOPS_OFFLINE"
INTERRUPTED = 130
"""What a process ends with that was told to."""


@dataclass(frozen=True, kw_only=True)
class StepRequest:
    """All that is needed to run one step, as plain values."""

    store: str
    run: str
    step: str
    stage: str
    use: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Slot -> digest."""
    key: str
    seed: int
    environment: str
    format: int = FORMAT


def request_for(step: Step, inputs: Mapping[str, str], **others: Any) -> StepRequest:
    """The request that runs a step of a recipe with these input digests."""
    return StepRequest(
        step=step.name,
        stage=step.stage,
        use=step.implementation.name,
        config=plain(step.config),
        inputs=dict(inputs),
        **others,
    )


def offline() -> bool:
    """Whether the network is forbidden."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


@dataclass(frozen=True)
class Worker:
    """What running steps needs beside their requests."""

    plugins: Plugins
    tell: Callable[[events.Event], None] = field(default=lambda event: None)
    secrets: Secrets = field(default_factory=Secrets)
    place: Place = field(default_factory=Place)
    """Among the processes that run the request together."""

    def work(self, request: StepRequest) -> Artifact:
        """Run a step and take its output into the store. Raises LlmopsError."""
        store, step = Store(Path(request.store)), self._step(request)
        temporary = store.temporary(f"run{request.run}-{request.step}")
        try:
            with store.scratch(request.key) as scratch:
                inputs = {slot: store.open(digest) for slot, digest in request.inputs.items()}
                run = self._run(request, temporary, scratch, inputs)
                made = self.plugins.manager.hook.llmops_run_step(step=step, run=run)
                try:
                    _expect(made, step, self.plugins)
                    return store.publish(made, temporary, request.run)
                except BaseException:
                    self.undo(request, made, run)
                    raise
        finally:
            shutil.rmtree(temporary.parent, ignore_errors=True)

    def assist(self, request: StepRequest) -> None:
        """Compute this process's part of a step whose output the first process takes into the store.

        Nothing that it writes is kept, and it holds no lock. Raises LlmopsError.
        """
        store, step = Store(Path(request.store)), self._step(request)
        if not step.implementation.together:
            return
        temporary = store.temporary(f"run{request.run}-{request.step}-{self.place.rank}")
        try:
            inputs = {slot: store.open(digest) for slot, digest in request.inputs.items()}
            run = self._run(request, temporary, temporary / "scratch", inputs)
            self.plugins.manager.hook.llmops_run_step(step=step, run=run)
        finally:
            shutil.rmtree(temporary.parent, ignore_errors=True)

    def undo(self, request: StepRequest, made: Any, run: StepRun) -> None:
        """Release what a live step holds, where its implementation can; else nothing happens."""
        implementation = self.plugins.find(request.stage, request.use)
        stage = BY_NAME[request.stage]
        if stage.live and implementation and implementation.undo and isinstance(made, KINDS[stage.gives]):
            resolve(implementation.undo)(made, run)

    def run_for(self, request: StepRequest, folder: Path) -> StepRun:
        """What a step's functions other than its target (its `undo`) are given; writes below `folder`."""
        scratch = folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        return self._run(request, folder, scratch, {})

    def _run(
        self, request: StepRequest, temporary: Path, scratch: Path, inputs: Mapping[str, Artifact]
    ) -> StepRun:
        store = Store(Path(request.store))
        return StepRun(
            folder=temporary / "files",
            scratch=scratch,
            cache=store.downloads,
            state=store.root.resolve(),
            step=request.step,
            run=request.run,
            environment=request.environment,
            seed=request.seed,
            offline=offline(),
            place=self.place,
            inputs=inputs,
            loader=self.load_part,
            tell=self.tell,
            read_secret=self.secrets.read,
        )

    def _step(self, request: StepRequest) -> Step:
        implementation = self.find(request.stage, request.use)
        return Step(request.step, request.stage, implementation, self.config(request))

    def find(self, group: str, name: str) -> Implementation:
        """An implementation. Raises PluginError when no plugin offers it."""
        found = self.plugins.find(group, name)
        if found is None:
            raise PluginError(f"no installed plugin offers {group}={name}", remedy="See: llmops plugins")
        return found

    def load_part(self, part: Part) -> Callable[..., Any]:
        return resolve(self.find(part.group, part.use).target)

    def config(self, request: StepRequest) -> Any:
        """The typed config of a request. Raises StepError."""
        wrong: list[str] = []

        def config_class(path: str, group: str, use: str) -> type[Any]:
            return resolve(self.find(group, use).config)  # type: ignore[return-value]

        reading = Reading(
            lambda path, what, remedy: wrong.append(f"{path}: {what}"), config_class, lambda path: Path()
        )
        config = reading.read(request.config, config_class("", request.stage, request.use), request.step)
        if wrong:
            raise StepError("; ".join(wrong), where=request.step)
        return config


def _expect(made: Any, step: Step, plugins: Plugins) -> None:
    wanted = KINDS[BY_NAME[step.stage].gives]
    if not isinstance(made, wanted):
        owner = plugins.owners.get((step.implementation.group, step.implementation.name))
        raise PluginError(
            f"{step.implementation.name} gave a {type(made).__name__}, not a {wanted.__name__}",
            where=f"{step.name} ({owner})",
            remedy="Report it to the plugin's author.",
        )


def main(path: str) -> int:
    """Run the request in a file; the answer is written beside it, as NAME.answer.json.

    Of the processes that torchrun or srun started, the first one tells and answers; the others assist it.
    """
    file, among = Path(path), Place()
    secrets = Secrets()
    secrets.expect_usual()
    with redacted_streams(secrets):
        try:
            with told_as_error("worker", file.parent, secrets):
                among = place_in(os.environ)
                request = understood(read_json(file))
                secrets.expect(named_in(request.config))
                answer = _answer(file, request, among, secrets)
        except LlmopsError as error:
            answer, status = _told(error), error.exit_status
            sys.stderr.write(f"{error}\n")
        except KeyboardInterrupt:
            return INTERRUPTED
        else:
            status = 0
    if among.leads:
        write_json(file.with_suffix(".answer.json"), answer)
    return status


def _answer(file: Path, request: StepRequest, among: Place, secrets: Secrets) -> dict[str, Any]:
    if among.leads:
        worker = Worker(load(), _telling(file.with_suffix(".events.jsonl"), secrets), secrets, among)
        with told_as_error(request.step, file.parent, secrets):
            return {"output": worker.work(request).digest}
    with told_as_error(f"{request.step} (process {among.rank})", file.parent, secrets):
        Worker(load(), secrets=secrets, place=among).assist(request)
    return {}


def _told(error: LlmopsError) -> dict[str, Any]:
    """An error as an answer: the nearest of our own classes, which whoever reads it has too."""
    problem = getattr(error, "problem", None) or Problem("", str(error))
    ours = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == LlmopsError.__module__]
    return {"kind": ours[0], "error": dataclasses.asdict(problem)}


def understood(document: Mapping[str, Any]) -> StepRequest:
    """A request that any release has written. Raises StoreError for a newer one or one with parts missing."""
    found = migrate(document, FORMAT, REQUEST_MIGRATIONS, "this request")
    wanted = {field.name for field in dataclasses.fields(StepRequest)}
    if wrong := sorted(wanted.symmetric_difference(found)):
        raise StoreError(f"this request lacks or should not have: {', '.join(wrong)}")
    return StepRequest(**found)


def _telling(path: Path, secrets: Secrets) -> Callable[[events.Event], None]:
    """What a step tells goes into a file, a line an event, for whoever started the worker to follow."""

    def tell(event: events.Event) -> None:
        line = json.dumps(secrets.redact(events.to_json(event)), ensure_ascii=False)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return tell


def as_json(request: StepRequest) -> dict[str, Any]:
    """A request as it is kept in records and sent to other machines."""
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(request)))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
