"""Runs a plan: each step in order, taken from the store when it is there, with a record as it goes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Artifact, Release
from llmops_core.config import Recipe, Step
from llmops_core.errors import (
    GateRefused,
    LlmopsError,
    OfflineError,
    PluginError,
    SecretError,
    StoreError,
    UsageError,
)
from llmops_core.files import write_text
from llmops_core.guards import log_file, time_limit, told_as_error
from llmops_core.launch import launched
from llmops_core.live import deploy, provision
from llmops_core.manifest import (
    Manifest,
    all_runs,
    git_state,
    machine,
    new_run,
    now,
    package_versions,
)
from llmops_core.memory import PeakMemory
from llmops_core.plan import PlannedStep, Planner, uncorrected
from llmops_core.plugins import Plugins
from llmops_core.releases import register
from llmops_core.resolved import as_yaml, resolved
from llmops_core.secrets import SHORTEST, Secrets, named_in
from llmops_core.stages import BY_NAME
from llmops_core.store import Store
from llmops_core.worker import StepRequest, Worker, request_for

HISTORY = 20
"""How many earlier runs estimates are corrected by."""
LASTING = (GateRefused, UsageError, PluginError, SecretError, OfflineError)
"""Errors that trying again cannot change."""
SAVE_EVERY = 5.0
"""Seconds between writes of the record while a step tells its progress."""


@dataclass(frozen=True)
class RunOptions:
    """What a person says of a run beside its recipe."""

    name: str = ""
    tags: Sequence[str] = ()
    parent: str = ""


@dataclass
class Runner:
    """Runs one recipe. `run` is called once."""

    recipe: Recipe
    plugins: Plugins
    store: Store
    options: RunOptions = field(default_factory=RunOptions)
    secrets: Secrets = field(default_factory=Secrets)
    known: dict[str, str] = field(default_factory=dict)
    """Step name -> the digest of its output."""
    _saved: float = field(default=0.0, init=False)

    def run(self) -> Manifest:
        """Run every step. Raises LlmopsError (the record says the same), KeyboardInterrupt."""
        self.store.prepare()
        self.secrets.expect(named_in(self.recipe.values))
        history = [one.document for one in all_runs(self.store, HISTORY)]
        self.planner = Planner(self.recipe, self.plugins, self.store, history)
        self.manifest = new_run(self.store, self._document(), self.secrets)
        write_text(self.manifest.folder / "recipe.yaml", self.secrets.redact(as_yaml(self.recipe)))
        self.worker = Worker(self.plugins, self._tell, self.secrets)
        began = time.monotonic()
        status = "failed"
        with log_file(self.manifest.folder / "log.txt", self.secrets):
            try:
                self._tell(events.RunStarted())
                self._secrets_at_hand()
                for step in self.recipe.steps:
                    self._step(step)
                status = "done"
            except KeyboardInterrupt:
                status = "interrupted"
                raise
            except LlmopsError as error:
                status = "refused" if isinstance(error, GateRefused) else "failed"
                self._failed(self.manifest.document, error)
                raise
            finally:
                self._end(status, time.monotonic() - began)
        return self.manifest

    def _secrets_at_hand(self) -> None:
        """Raise SecretError now for what would fail after hours: a secret that is not set.

        Of steps that will run on this machine; another launcher may find its secrets where it runs.
        """
        named = {step.name: set(named_in(self.recipe.values.get(step.name))) for step in self.recipe.steps}
        if all(len(os.environ.get(name, "")) >= SHORTEST for names in named.values() for name in names):
            return
        for planned in self.planner.plan().steps:
            here = planned.step.settings.launch.use in ("here", "process")
            if planned.action == "reuse" or not here:
                continue
            for name in sorted(named[planned.step.name]):
                try:
                    self.secrets.read(name)
                except SecretError as error:
                    problem = error.problem
                    raise SecretError(problem.what, where=planned.step.name, remedy=problem.remedy) from None

    # -- the record ------------------------------------------------------------------------------

    def _document(self) -> dict[str, Any]:
        recipe = self.recipe
        return {
            "name": self.options.name,
            "tags": list(self.options.tags),
            "parent": self.options.parent,
            "recipe": recipe.name,
            "recipe_path": str(recipe.path),
            "overrides": list(recipe.overrides),
            "environment": recipe.environment,
            "seed": recipe.settings.seed,
            "git": git_state(recipe.path.parent),
            "packages": package_versions(),
            "machine": machine(),
            "config": resolved(recipe),
            "steps": [
                {"name": step.name, "stage": step.stage, "use": step.implementation.name, "status": "pending"}
                for step in recipe.steps
            ],
        }

    def _end(self, status: str, seconds: float) -> None:
        """Close the record. Until it is written others see a running run, whose artifacts gc leaves alone."""
        for record in self.manifest.document["steps"]:
            if record["status"] == "running":
                record["status"] = status if status != "done" else "failed"
        self.manifest.document.update(status=status, ended=now(), seconds=round(seconds, 3))
        try:
            self._tell(events.RunEnded(status=status, seconds=seconds))
        finally:
            self._save_at_last(status)
            shutil.rmtree(self.store.holds_of(self.manifest.id), ignore_errors=True)

    def _save_at_last(self, status: str) -> None:
        """Write the record; where that fails too, the error that ended the run is the one to be seen."""
        try:
            self.manifest.save()
        except OSError as error:
            what = f"the record of run {self.manifest.id} cannot be written: {error.strerror}"
            if status == "done":
                raise StoreError(what, where=str(error.filename or "")) from error
            self._tell(events.Log(text=what, level="warning"))

    def _failed(self, record: dict[str, Any], error: LlmopsError) -> None:
        problem = error.problem if hasattr(error, "problem") else None
        record["error"] = {
            "where": problem.where if problem else "",
            "what": problem.what if problem else str(error),
            "remedy": problem.remedy if problem else "",
        }

    def _tell(self, event: events.Event) -> None:
        """Keep what an event says in the record, then tell every plugin; what fails there is told once."""
        event = redacted(event, self.secrets)
        self._keep(event)
        warnings = self.manifest.document.setdefault("warnings", [])
        for line in self.plugins.event(self.manifest, event):
            line = self.secrets.redact(line)
            if line not in warnings:
                warnings.append(line)
                self.plugins.event(self.manifest, events.Log(text=line, level="warning"))

    def _keep(self, event: events.Event) -> None:
        if not event.step:
            if isinstance(event, events.Log) and event.level == "warning":
                self.manifest.document.setdefault("warnings", []).append(event.text)
            return
        record = self.manifest.step(event.step)
        if isinstance(event, events.Metric):
            record.setdefault("metrics", {})[event.name] = event.value
        elif isinstance(event, events.Log) and event.level == "warning":
            record.setdefault("warnings", []).append(event.text)
        elif isinstance(event, events.Fetched):
            record["fetched"] = record.get("fetched", 0) + event.size
        elif isinstance(event, events.Progress):
            record["progress"] = {"done": event.done, "total": event.total, **event.numbers}
        if time.monotonic() - self._saved > SAVE_EVERY:
            self._saved = time.monotonic()
            self.manifest.save()

    # -- one step --------------------------------------------------------------------------------

    def _step(self, step: Step) -> None:
        record = self.manifest.step(step.name)
        try:
            with told_as_error(step.name, self.manifest.folder, self.secrets):
                planned = self._plan(step, record)
                if planned.output:
                    self._take(step, self.store.open(planned.output), record)
                    self._tell(events.StepReused(step.name, record["result"]))
                else:
                    self._run(step, planned, record)
        except LlmopsError as error:
            record["status"] = "refused" if isinstance(error, GateRefused) else "failed"
            self._failed(record, error)
            self._tell(events.StepFailed(step.name, str(error), record["status"]))
            raise

    def _plan(self, step: Step, record: dict[str, Any]) -> PlannedStep:
        """What is to be done about a step, noted in the record.

        Inputs are hashed before the store is locked; what was found is looked at again within the lock, so
        that gc takes nothing between that look and the record that holds it.
        """
        inputs = {slot: self.known[source] for slot, source in step.inputs.items()}
        while True:
            planned = self.planner.step(step, self.known)
            with self.store.lock(shared=True):
                if planned.output and not self.store.is_whole(planned.output):
                    continue
                record.update(action=planned.action, reason=planned.reason, key=planned.key, inputs=inputs)
                if planned.output:
                    record.update(status="reused", output=planned.output)
                    self.manifest.save()
                return planned

    def _run(self, step: Step, planned: PlannedStep, record: dict[str, Any]) -> None:
        inputs = record["inputs"]
        opened = {slot: self.store.open(digest) for slot, digest in inputs.items()}
        bare = uncorrected(step, {slot.name: opened.get(slot.name) for slot in BY_NAME[step.stage].takes})
        record["estimate"] = {
            one.what: {"value": one.value, "basis": one.basis, "uncorrected": bare.get(one.what)}
            for one in planned.estimates
        }
        record.update(status="running", started=now())
        self.manifest.save()
        self._tell(events.StepStarted(step.name))
        request = request_for(
            step,
            inputs,
            store=str(self.store.root.resolve()),
            run=self.manifest.id,
            key=planned.key,
            seed=self.recipe.settings.seed,
            environment=self.recipe.environment,
        )
        began, memory = time.monotonic(), PeakMemory()
        try:
            artifact = self._attempts(step, request, planned, record)
        finally:
            record["ended"], record["seconds"] = now(), round(time.monotonic() - began, 3)
            record["actual"] = {
                "time": record["seconds"],
                "memory": memory.peak(),
                "download": record.pop("fetched", 0),
            }
        record["status"] = "done"
        self._take(step, artifact, record)
        self._tell(events.StepEnded(step.name, record["result"], record["seconds"]))

    def _take(self, step: Step, artifact: Artifact, record: dict[str, Any]) -> None:
        self.known[step.name] = artifact.digest
        result = artifact.summary()
        if isinstance(artifact, Release):
            name = register(self.store, artifact.digest, self.manifest.id)
            record["release"] = name
            result = f"{name} · {artifact.digest[:8]} · {result}"
        record.update(output=artifact.digest, result=result)
        record.pop("progress", None)
        self.manifest.save()

    def _attempts(
        self, step: Step, request: StepRequest, planned: PlannedStep, record: dict[str, Any]
    ) -> Artifact:
        retry, attempt = step.settings.retry, 1
        while True:
            record["attempts"] = attempt
            try:
                return self._attempt(step, request, planned)
            except LASTING:
                raise
            except LlmopsError as error:
                if attempt > retry.times:
                    raise
                self._tell(events.StepRetried(step.name, str(error), attempt, retry.wait))
            time.sleep(retry.wait)
            attempt += 1

    def _attempt(self, step: Step, request: StepRequest, planned: PlannedStep) -> Artifact:
        with told_as_error(step.name, self.manifest.folder, self.secrets), time_limit(step, self._tell):
            if BY_NAME[step.stage].live:
                act = deploy if BY_NAME[step.stage].gives == "Endpoint" else provision
                return act(request, self.worker, f"run {self.manifest.id}")
            made = launched(request, step.settings.launch, self.worker)
            return self._publish(request, planned, made)

    def _publish(self, request: StepRequest, planned: PlannedStep, made: Artifact) -> Artifact:
        """Bind the key to what it made; another run that was first has its output taken instead."""
        entry = {
            "format": 1,
            "key": request.key,
            "step": request.step,
            "run": request.run,
            "document": planned.document,
            "digest": made.digest,
        }
        with self.store.lock(shared=True):
            digest = self.store.record(request.stage, request.key, entry)
            self.manifest.step(request.step)["output"] = digest
            self.manifest.save()
        self.store.forget_scratch(request.key)
        return self.store.open(digest)


def redacted(event: events.Event, secrets: Secrets) -> events.Event:
    """The event without secrets."""
    if not secrets.seen:
        return event
    return dataclasses.replace(event, **{name: secrets.redact(value) for name, value in vars(event).items()})
