"""Acting on live environments: deploy, stop, and put the previous release back."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Artifact, Endpoint
from llmops_core.errors import LlmopsError, UsageError
from llmops_core.journal import Action, Deployment, Journal
from llmops_core.manifest import Manifest, machine, new_run, now
from llmops_core.plugins import Plugins, missing, resolve
from llmops_core.releases import NamedRelease, find, open_release, register
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


def serve(  # noqa: PLR0913  # what the command line says, by name
    store: Store, release: str, environment: str, plugins: Plugins, use: str, fields: Mapping[str, Any]
) -> int:
    """Serve a release in the foreground until interrupted; gives the exit status.

    `fields` are set in the config of the deploy implementation `use`. Raises LlmopsError.
    """
    worker = Worker(plugins, _say)
    implementation = worker.find("deploy", use)
    if not implementation.foreground:
        raise UsageError(f"{use} cannot serve in the foreground", remedy="Deploy with a recipe instead.")
    if absent := missing(implementation):
        remedy = f"pip install '{implementation.extra}'"
        raise UsageError(f"{use} needs {', '.join(absent)}, not installed here", remedy=remedy)
    named = find(store, release)
    request = _serve_request(store, named.digest, environment, use, fields)
    opened, config = open_release(store, named.digest), worker.config(request)
    lines = _Serving(Journal(store.root, _warn), named, environment)
    folder = store.temporary("serve")
    with lines.journal.lock(environment, "llmops serve"):
        try:
            stop(lines.journal, environment, worker, f"replaced by {named.name}")
            run, function = worker.run_for(request, folder), resolve(implementation.foreground)
            return int(function(config, run, release=opened, live=lines.live, ended=lines.ended))
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)


def _serve_request(
    store: Store, digest: str, environment: str, use: str, fields: Mapping[str, Any]
) -> StepRequest:
    return StepRequest(
        store=str(store.root.resolve()),
        run="",
        step="serve",
        stage="deploy",
        use=use,
        config=dict(fields),
        inputs={"release": digest},
        key="serve",
        seed=0,
        environment=environment,
    )


@dataclass
class _Serving:
    """The journal's lines about one server in the foreground."""

    journal: Journal
    release: NamedRelease
    environment: str
    line: str = ""

    def live(self, endpoint: Endpoint) -> None:
        """It answers."""
        deployment = Deployment(
            environment=self.environment,
            release=self.release.name,
            digest=self.release.digest,
            run="",
            action="serve",
            process=endpoint.process,
            url=endpoint.url,
        )
        self.line = self.journal.went_live(deployment).id
        _say(events.Log("serve", f"{self.release.name} answers at {endpoint.url}/v1 (Ctrl-C stops it)"))

    def ended(self, reason: str) -> None:
        """It no longer answers."""
        self.journal.ended(self.line, reason)


def _warn(text: str) -> None:
    _say(events.Log("serve", text, "warning"))


def _say(event: events.Event) -> None:
    if isinstance(event, events.Log):
        prefix = "warning: " if event.level == "warning" else ""
        sys.stderr.write(f"{prefix}{event.text}\n")
        sys.stderr.flush()


def stop_environment(store: Store, environment: str, plugins: Plugins) -> Deployment | None:
    """Stop what is live in an environment; gives what it was, or None. Raises LockedError."""
    journal = Journal(store.root)
    with journal.lock(environment, "llmops releases stop"):
        return stop(journal, environment, Worker(plugins), "stopped by hand")
