"""Puts back what was live before: a run of its own, of one step."""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass
from typing import Any

from llmops_core import events
from llmops_core.errors import LlmopsError, UsageError
from llmops_core.guards import log_file, told_as_error
from llmops_core.journal import Deployment, Journal
from llmops_core.live import deploy
from llmops_core.manifest import Manifest, machine, new_run, now, read_run
from llmops_core.plugins import Plugins
from llmops_core.runner import redacted
from llmops_core.secrets import Secrets, named_in
from llmops_core.stages import BESIDE
from llmops_core.store import Store
from llmops_core.worker import StepRequest, Worker, understood


def rollback(store: Store, environment: str, plugins: Plugins, secrets: Secrets | None = None) -> Manifest:
    """Put back what was live before in an environment, with the settings it was deployed with.

    Raises UsageError when there is nothing to go back to, LlmopsError when it does not come up.
    """
    store.check_format()
    journal = Journal(store.root, lambda text: None)
    previous = journal.previous(environment)
    if previous is None or "step" not in previous.how:
        raise UsageError(
            f"{environment} has no earlier release to go back to", remedy="See: llmops releases history"
        )
    request = understood(previous.how["step"])
    store.prepare()
    secrets = secrets or Secrets()
    document = _document(request, previous)
    document["config"] |= _tracking(store, previous.run)
    secrets.expect(named_in(document["config"]))
    manifest = new_run(store, document, secrets)
    return _Rollback(store, plugins, manifest).run(request, previous)


def _document(request: StepRequest, previous: Deployment) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": request.step,
        "stage": request.stage,
        "use": request.use,
        "action": "always",
        "reason": f"puts back {previous.release}",
        "inputs": dict(request.inputs),
        "status": "running",
    }
    return {
        "parent": previous.run,
        "recipe": "rollback",
        "overrides": [],
        "environment": request.environment,
        "machine": machine(),
        "config": {request.step: dict(request.config)},
        "steps": [record],
    }


def _tracking(store: Store, run: str) -> dict[str, Any]:
    """Where the run that deployed it was also recorded: its rollback is recorded there too."""
    try:
        config = read_run(store, run).document.get("config") or {}
    except LlmopsError:
        return {}  # its record was removed, which undoes no deployment
    return {name: config[name] for name in BESIDE if name in config}


@dataclass(frozen=True)
class _Rollback:
    """One rollback as it goes."""

    store: Store
    plugins: Plugins
    manifest: Manifest

    def run(self, request: StepRequest, previous: Deployment) -> Manifest:
        """Deploy, with the record and the plugins told."""
        manifest, secrets = self.manifest, self.manifest.secrets
        record = manifest.document["steps"][0]
        began, status = time.monotonic(), "failed"
        self._tell(events.RunStarted())
        self._tell(events.StepStarted(request.step))
        try:
            log = log_file(manifest.folder / "log.txt", secrets)
            with log, told_as_error(request.step, manifest.folder, secrets):
                again = dataclasses.replace(request, run=manifest.id)
                worker = Worker(self.plugins, self._tell, secrets)
                endpoint = deploy(again, worker, f"run {manifest.id}", "rollback")
            record.update(output=endpoint.digest, result=f"{previous.release} · {endpoint.summary()}")
            status = "done"
            self._tell(events.StepEnded(request.step, record["result"], time.monotonic() - began))
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        except LlmopsError as error:
            manifest.document["error"] = record["error"] = dataclasses.asdict(error.problem)
            self._tell(events.StepFailed(request.step, str(error)))
            raise
        finally:
            self._end(record, status, round(time.monotonic() - began, 3))
        return manifest

    def _end(self, record: dict[str, Any], status: str, seconds: float) -> None:
        record["status"] = status
        self.manifest.document.update(status=status, ended=now(), seconds=seconds)
        try:
            self._tell(events.RunEnded(status=status, seconds=seconds))
        finally:
            self.manifest.save()
            shutil.rmtree(self.store.holds_of(self.manifest.id), ignore_errors=True)

    def _tell(self, event: events.Event) -> None:
        event = redacted(event, self.manifest.secrets)
        document = self.manifest.document
        warnings = [event.text] if isinstance(event, events.Log) and event.level == "warning" else []
        for line in [*warnings, *self.plugins.event(self.manifest, event)]:
            if line not in document.setdefault("warnings", []):
                document["warnings"].append(line)
