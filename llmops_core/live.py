"""Acting on live environments: deploy, stop, and put the previous release back."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Artifact, Endpoint, Release
from llmops_core.errors import LockedError, StepError, UsageError
from llmops_core.journal import Action, Deployment, Journal
from llmops_core.plugins import Plugins, missing, resolve
from llmops_core.releases import NamedRelease, find, open_release, register
from llmops_core.secrets import Secrets
from llmops_core.store import Store
from llmops_core.worker import StepRequest, Worker, as_json, understood

FOREGROUND = "llmops serve"
PATIENCE = 60.0
"""Seconds that a run waits for another one that acts on the same environment."""


def deploy(request: StepRequest, worker: Worker, who: str, action: Action = "deploy") -> Artifact:
    """Act on a live environment, alone in it: stop what is live there, put the release up, keep a journal.

    The old server goes first, because both may want the same address and the same memory; when the new
    one does not come up, the old one is put back. Another run that acts there is waited for; raises
    LockedError when it takes longer than PATIENCE, or a server in the foreground holds the environment.
    """
    store = Store(Path(request.store))
    release = open_release(store, request.inputs["release"])
    journal = Journal(store.root, lambda text: worker.tell(events.Log(request.step, text, "warning")))
    with _alone_in(journal, request, who, worker):
        name = register(store, release.digest, request.run)
        before = stop(journal, request.environment, worker, f"replaced by {name}")
        try:
            return _put_up(journal, request, worker, name, action)
        except BaseException:
            if before is not None and before.process:
                _put_back(journal, before, request, worker)
            raise


def provision(request: StepRequest, worker: Worker, who: str) -> Artifact:
    """Act on an environment's machines, alone in it. Raises LockedError like `deploy`."""
    journal = Journal(
        Path(request.store), lambda text: worker.tell(events.Log(request.step, text, "warning"))
    )
    with _alone_in(journal, request, who, worker):
        return worker.work(request)


@contextmanager
def _alone_in(journal: Journal, request: StepRequest, who: str, worker: Worker) -> Iterator[None]:
    limit, told = time.monotonic() + PATIENCE, False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(journal.lock(request.environment, who))
                break
            except LockedError as error:
                if FOREGROUND in error.problem.what or time.monotonic() > limit:
                    raise
                if not told:
                    worker.tell(events.Log(request.step, f"{error.problem.what}; waiting"))
                told = True
            time.sleep(0.1)
        yield


def _put_up(journal: Journal, request: StepRequest, worker: Worker, name: str, action: Action) -> Artifact:
    """Run the deploy step; the journal has its line from the moment that the step says it answers."""
    lines: list[Deployment] = []

    def answers(url: str, process: int) -> None:
        deployment = Deployment(
            environment=request.environment,
            release=name,
            digest=request.inputs["release"],
            run=request.run,
            action=action,
            process=process,
            url=url,
            how={"step": as_json(request)},
        )
        lines.append(journal.went_live(deployment))

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Answering) and not lines:
            answers(event.url, event.process)
        worker.tell(event)

    try:
        endpoint = dataclasses.replace(worker, tell=tell).work(request)
    except BaseException:
        for line in lines:
            journal.ended(line.id, "its deployment failed")
        raise
    if not isinstance(endpoint, Endpoint):
        return endpoint
    if not lines:
        _note(endpoint, request, worker, answers)
    if not endpoint.process:
        journal.ended(lines[0].id, "stopped after its probe")
        Store(Path(request.store)).forget_scratch(request.key)
    return endpoint


def _note(
    endpoint: Endpoint, request: StepRequest, worker: Worker, answers: Callable[[str, int], None]
) -> None:
    """Journal a step that did not say when it answered; what cannot be noted is stopped again."""
    try:
        answers(endpoint.url, endpoint.process)
    except BaseException:
        if endpoint.process:
            _undo(endpoint, request, worker)
        raise


def _put_back(journal: Journal, before: Deployment, request: StepRequest, worker: Worker) -> None:
    """Start again what was live before a release that did not come up."""
    again = dataclasses.replace(understood(before.how["step"]), run=request.run, step=request.step)
    try:
        _put_up(journal, again, worker, before.release, "rollback")
    except Exception as error:
        text = f"{before.release} could not be put back, nothing is live in {before.environment}: {error}"
        worker.tell(events.Log(request.step, text, "warning"))
    else:
        worker.tell(events.Log(request.step, f"{before.release} was put back", "warning"))


def stop(journal: Journal, environment: str, worker: Worker, reason: str) -> Deployment | None:
    """Stop what is live in an environment, through its implementation's `undo`. The caller holds the lock.

    Gives what was live, or None. Raises LlmopsError when it cannot be stopped: the journal then still says
    that it is live.
    """
    live = journal.current(environment)
    if live is None:
        return None
    if live.process:
        if "step" not in live.how:
            what = f"{live.release} is served by process {live.process}, which is not ours to stop"
            raise StepError(what, where=environment, remedy=f"Stop it: kill {live.process}")
        request = understood(live.how["step"])
        _undo(_endpoint(live, Store(Path(request.store))), request, worker)
    return journal.ended(live.id, reason)


def _endpoint(live: Deployment, store: Store) -> Endpoint:
    release = store.open(live.digest)
    if not isinstance(release, Release):
        raise StepError(f"{live.release} is no release any more", where=live.environment)
    return Endpoint(
        folder=Path(), url=live.url, release=release, environment=live.environment, process=live.process
    )


def _undo(endpoint: Artifact, request: StepRequest, worker: Worker) -> None:
    implementation = worker.find(request.stage, request.use)
    if not implementation.undo:
        process = getattr(endpoint, "process", 0)
        what = f"{request.use} does not say how to stop process {process}"
        raise StepError(what, where=request.environment, remedy=f"Stop it: kill {process}")
    folder = Store(Path(request.store)).temporary("undo")
    try:
        resolve(implementation.undo)(endpoint, worker.run_for(request, folder))
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def serve(  # noqa: PLR0913  # what the command line says, by name
    store: Store,
    release: str,
    environment: str,
    node: Mapping[str, Any],
    plugins: Plugins,
    secrets: Secrets,
) -> int:
    """Serve a release in the foreground until interrupted; gives the exit status.

    `node` is what a recipe would say of the deploy step: `use` and its fields. Raises LlmopsError.
    """
    store.check_format()
    use, fields = node["use"], {name: value for name, value in node.items() if name != "use"}
    worker = Worker(plugins, _say, secrets)
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
    with lines.journal.lock(environment, FOREGROUND):
        folder = store.temporary("serve")
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


def stop_environment(
    store: Store, environment: str, plugins: Plugins, secrets: Secrets | None = None
) -> Deployment | None:
    """Stop what is live in an environment; gives what it was, or None. Raises LockedError."""
    store.check_format()
    journal = Journal(store.root, _warn)
    if not journal.path.exists():
        return None
    with journal.lock(environment, "llmops releases stop"):
        worker = Worker(plugins, _say, secrets or Secrets())
        return stop(journal, environment, worker, "stopped by hand")
