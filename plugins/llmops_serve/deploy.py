"""The deploy step: start a server of a release, ask it something, and keep it or stop it."""

from __future__ import annotations

import ipaddress
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

from llmops_core.artifacts import Cluster, Endpoint, Release
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_serve.config import OpenaiServerDeploy
from llmops_serve.process import (
    Started,
    bound_socket,
    detach,
    start,
    stop_child,
    stop_process,
    wait_until_ready,
)
from llmops_serve.server_settings import settings_for

STOP_GRACE = 5.0
"""Seconds beyond stop_limit before a server is killed: it also has to leave Python."""


def openai_server(
    config: OpenaiServerDeploy, run: StepRun, *, release: Release, infra: Cluster | None = None
) -> Endpoint:
    """Serve `release`, ask it config.probe through the openai client, and stop it unless config.keep.

    Raises StepError when `infra` is another machine than this one, the release did not pass its gates, the
    address is taken, or the server does not answer; SecretError when the key is not set.
    """
    if infra is not None and list(infra.hosts) != ["127.0.0.1"]:
        raise StepError(
            f"openai_server serves on this machine, not on {', '.join(infra.hosts)}",
            where="infra",
            remedy="Take infra=this_machine, or another deploy implementation.",
        )
    started = _start(config, run, release, in_foreground=False)
    kept = False
    try:
        seconds = wait_until_ready(started, config.start_limit)
        run.answering(started.url, started.process.pid)
        run.metric("start_seconds", seconds)
        answer = _probe(config, run, started)
        _write_answer(run.folder, config, answer)
        if config.keep:
            detach(started)
            kept = True
            run.log(f"serving at {started.url}/v1 (process {started.process.pid}, log {started.log})")
    finally:
        if not kept and not stop_child(started, config.stop_limit + STOP_GRACE):
            run.warn(f"the server did not stop within {config.stop_limit:g} s and was killed")
    return _endpoint(run, release, started, process=started.process.pid if kept else 0)


def stop(artifact: Endpoint, run: StepRun) -> None:
    """Stop a server that was kept; one that has ended already is left at that."""
    limit = OpenaiServerDeploy().stop_limit + STOP_GRACE
    if artifact.process and not stop_process(artifact.process, artifact.release.digest, limit):
        run.warn(f"the server at {artifact.url} did not stop within {limit:g} s and was killed")


def serve(
    config: OpenaiServerDeploy,
    run: StepRun,
    *,
    release: Release,
    live: Callable[[Endpoint], None],
    ended: Callable[[str], None],
) -> int:
    """Serve `release` in the foreground until interrupted; gives the exit status.

    `live` is called once with the endpoint when it answers; after that `ended` is called once with the
    reason, whatever happens, even within `live`. The server's own lines go where this process's do.
    config.keep and the probe are not used.
    """
    with _sigterm_interrupts():
        started = _start(config, run, release, in_foreground=True)
        reason = "stopped"
        told = False
        try:
            wait_until_ready(started, config.start_limit)
            told = True
            live(_endpoint(run, release, started, process=started.process.pid))
            status = started.process.wait()
            reason = f"the server ended with exit status {status}"
            return 1 if status else 0
        except KeyboardInterrupt:
            return 0 if told else 130
        finally:
            try:
                if not stop_child(started, config.stop_limit + STOP_GRACE):
                    reason = f"killed: it did not stop within {config.stop_limit:g} s"
            finally:
                if told:
                    ended(reason)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends what is within as Ctrl-C does, where this thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(config: OpenaiServerDeploy, run: StepRun, release: Release, *, in_foreground: bool) -> Started:
    _check_gates(release)
    settings = settings_for(config, release)
    key = run.secret(config.api_key) if config.api_key is not None else None
    if key is not None and not key:
        raise StepError("the API key is empty", where="api_key", remedy="Set the secret it names.")
    run.scratch.mkdir(parents=True, exist_ok=True)
    log = None if in_foreground else _log(run)
    with bound_socket(config.host, config.port) as bound:
        address = bound.getsockname()[0].partition("%")[0]
        if key is None and not ipaddress.ip_address(address).is_loopback:
            run.warn(f"{config.host} is open to other machines, and no key is asked for: set api_key")
        return start(settings, run.scratch / "server.json", bound, log, key)


def _check_gates(release: Release) -> None:
    """Raises StepError unless the release has gates and all of them passed."""
    failed = [name for name, gate in release.gates.items() if not gate.get("passed")]
    if failed or not release.gates:
        what = f"did not pass {', '.join(failed)}" if failed else "has no gates"
        raise StepError(
            f"release {release.digest[:12]} {what}: it is not served",
            where="release",
            remedy="Serve a release whose gates passed: llmops releases.",
        )


def _log(run: StepRun) -> Path:
    folder = run.state / "endpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{run.environment}-{run.run}-{run.step}.log"


def _endpoint(run: StepRun, release: Release, started: Started, *, process: int) -> Endpoint:
    return Endpoint(
        folder=run.folder, url=started.url, release=release, environment=run.environment, process=process
    )


def _probe(config: OpenaiServerDeploy, run: StepRun, started: Started) -> dict[str, Any]:
    """One real request through the client that users have. Raises StepError when it is not answered."""
    key = run.secret(config.api_key) if config.api_key is not None else "none"
    begun = time.monotonic()
    with openai.OpenAI(
        base_url=f"{started.url}/v1",
        api_key=key,
        timeout=config.start_limit,
        max_retries=0,
        # a configured proxy could not reach this machine's loopback, and would be given the key
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as client:
        try:
            answer = _ask(client, config)
        except openai.OpenAIError as error:
            raise StepError(
                f"the server did not answer its probe: {error}\n{started.last_lines()}",
                where=str(started.log),
            ) from error
    seconds = time.monotonic() - begun
    run.metric("probe_seconds", seconds)
    run.log(f"answered in {seconds:.1f} s: {answer['answer']!r}")
    if not answer["answer"].strip():
        run.warn(f"the answer to {config.probe!r} is empty")
    return answer


def _ask(client: openai.OpenAI, config: OpenaiServerDeploy) -> dict[str, Any]:
    """The probe's answer: a chat where the model has a chat template, else a completion."""
    model = client.models.list().data[0]
    limit = min(config.probe_max_tokens, config.max_new_tokens)
    if (model.model_extra or {}).get("chat"):
        asked: Any = [{"role": "user", "content": config.probe}]
        chat = client.chat.completions.create(model=model.id, messages=asked, max_tokens=limit)
        said, usage = chat.choices[0].message.content or "", chat.usage
    else:
        completion = client.completions.create(model=model.id, prompt=config.probe, max_tokens=limit)
        said, usage = completion.choices[0].text, completion.usage
    return {
        "model": model.id,
        "answer": said,
        "usage": usage.model_dump(exclude_none=True) if usage else {},
    }


def _write_answer(folder: Path, config: OpenaiServerDeploy, answer: dict[str, Any]) -> None:
    told = {"prompt": config.probe, **answer}
    (folder / "probe.json").write_text(
        json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
