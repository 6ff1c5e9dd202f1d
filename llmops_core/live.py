"""Acting on live environments: deploy, stop, and put the previous release back."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Artifact, Endpoint
from llmops_core.errors import LlmopsError, UsageError
from llmops_core.journal import Action, Deployment, Journal
from llmops_core.manifest import Manifest, machine, new_run, now
from llmops_core.plugins import Plugins, resolve
from llmops_core.releases import open_release, register
from llmops_core.secrets import Secrets
from llmops_core.store import Store
from llmops_core.worker import StepRequest, Worker, as_json


def deploy(request: StepRequest, worker: Worker, who: str, action: Action = "deploy") -> Artifact:
    """Act on a live environment, alone in it: stop what is live there, put the release up, keep a journal.

    Raises LockedError while another process acts there.
    """
    store = Store(Path(request.store))
    release = open_release(store, request.inputs["release"])
    journal = Journal(store.root, lambda text: worker.tell(events.Log(request.step, text, "warning")))
    with journal.lock(request.environment, who):
        stop(journal, request.environment, worker, f"replaced by {release.digest[:8]}")
        endpoint = worker.work(request)
        if not isinstance(endpoint, Endpoint):
            return endpoint
        live = journal.went_live(
            Deployment(
                environment=request.environment,
                release=register(store, release.digest, request.run),
                digest=release.digest,
                run=request.run,
                action=action,
                process=endpoint.process,
                url=endpoint.url,
                how={"step": as_json(request), "endpoint": endpoint.digest},
            )
        )
        if not endpoint.process:
            journal.ended(live.id, "stopped after its probe")
    return endpoint


def stop(journal: Journal, environment: str, worker: Worker, reason: str) -> Deployment | None:
    """Stop what is live in an environment, through its implementation's `undo`. The caller holds the lock."""
    live = journal.current(environment)
    if live is None:
        return None
    if live.process and "step" in live.how:
        request = StepRequest(**live.how["step"])
        implementation = worker.plugins.find(request.stage, request.use)
        if implementation and implementation.undo:
            store = Store(Path(request.store))
            run = worker.run_for(request, store.root / "tmp")
            resolve(implementation.undo)(store.open(live.how["endpoint"]), run)
    return journal.ended(live.id, reason)


def rollback(store: Store, environment: str, plugins: Plugins) -> Manifest:
    """Put back what was live before in an environment, with the settings it was deployed with.

    It is a run of its own, of one step. Raises UsageError when there is nothing to go back to.
    """
    store.prepare()
    journal = Journal(store.root)
    previous = journal.previous(environment)
    if previous is None or "step" not in previous.how:
        raise UsageError(
            f"{environment} has no earlier release to go back to", remedy="See: llmops releases history"
        )
    request = StepRequest(**previous.how["step"])
    secrets = Secrets()
    record: dict[str, Any] = {
        "name": request.step,
        "stage": request.stage,
        "use": request.use,
        "action": "always",
        "reason": f"puts back {previous.release}",
        "inputs": dict(request.inputs),
        "status": "running",
    }
    document = {
        "recipe": "rollback",
        "overrides": [],
        "environment": environment,
        "machine": machine(),
        "config": {request.step: dict(request.config)},
        "steps": [record],
    }
    manifest = new_run(store, document, secrets)
    worker = Worker(plugins, lambda event: _tell(plugins, manifest, event), secrets)
    began, status = time.monotonic(), "failed"
    try:
        again = dataclasses.replace(request, run=manifest.id)
        endpoint = deploy(again, worker, f"run {manifest.id}", "rollback")
        record.update(output=endpoint.digest, result=f"{previous.release} · {endpoint.summary()}")
        status = "done"
    except LlmopsError as error:
        manifest.document["error"] = dataclasses.asdict(error.problem)
        raise
    finally:
        seconds = round(time.monotonic() - began, 3)
        record["status"] = status
        manifest.document.update(status=status, ended=now(), seconds=seconds)
        manifest.save()
        _tell(plugins, manifest, events.RunEnded(status=status, seconds=seconds))
    return manifest


def _tell(plugins: Plugins, manifest: Manifest, event: events.Event) -> None:
    manifest.document.setdefault("warnings", []).extend(plugins.event(manifest, event))


def stop_environment(store: Store, environment: str, plugins: Plugins) -> Deployment | None:
    """Stop what is live in an environment; gives what it was, or None. Raises LockedError."""
    journal = Journal(store.root)
    with journal.lock(environment, "llmops releases stop"):
        return stop(journal, environment, Worker(plugins), "stopped by hand")
