"""The deploy step with a real server process, asked by the real openai client."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from llmops_core.artifacts import Endpoint, Release
from llmops_core.errors import SecretError, StepError
from llmops_core.events import Event, Log
from llmops_core.processes import is_gone, process_mark
from llmops_core.step import StepRun
from llmops_serve import process
from llmops_serve.config import OpenaiServerDeploy
from llmops_serve.deploy import openai_server, serve, stop

QUICK = OpenaiServerDeploy(threads=1, max_new_tokens=64, probe_max_tokens=4)
ASKED: Any = [{"role": "user", "content": "The printer does not print."}]


def gone_within(process: int, mark: str, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not is_gone(process, mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def warnings_in(told: list[Event]) -> list[str]:
    return [event.text for event in told if isinstance(event, Log) and event.level == "warning"]


def metric(url: str, name: str) -> float:
    import urllib.request

    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def kept(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Endpoint, StepRun]]:
    root = tmp_path_factory.mktemp("kept")
    run = StepRun(
        folder=root / "out", scratch=root / "scratch", cache=root / "cache", state=root / "state", run="7"
    )
    run.folder.mkdir()
    endpoint = openai_server(dataclasses.replace(QUICK, keep=True), run, release=release)
    try:
        yield endpoint, run
    finally:
        stop(endpoint, run)


@pytest.fixture
def client(kept: tuple[Endpoint, StepRun]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{kept[0].url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_kept_server_is_up_with_its_facts_and_its_log(
    kept: tuple[Endpoint, StepRun], release: Release
) -> None:
    endpoint, run = kept
    assert endpoint.environment == "dev" and endpoint.release is release
    assert endpoint.url.startswith("http://127.0.0.1:") and process_mark(endpoint.process)
    assert "startup complete" in (run.state / "endpoints" / "dev-7-step.log").read_text()
    assert json.loads((run.folder / "probe.json").read_text())["usage"]["completion_tokens"] <= 4
    written = {
        path.relative_to(run.state.parent).parts[0] for path in run.state.parent.rglob("*") if path.is_file()
    }
    assert written == {"out", "scratch", "state"}


def test_a_model_without_a_chat_template_is_probed_with_a_completion(
    release: Release, step: StepRun, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(release.candidate.folder, plain, ignore=shutil.ignore_patterns("*.jinja"))
    candidate = dataclasses.replace(release.candidate, folder=plain)
    openai_server(QUICK, step, release=dataclasses.replace(release, candidate=candidate))
    assert json.loads((step.folder / "probe.json").read_text())["usage"]["completion_tokens"] == 4


def test_the_openai_client_streams_what_it_gets_whole(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=20, temperature=1, seed=3)
    stream = client.chat.completions.create(
        model="tiny",
        messages=ASKED,
        max_tokens=20,
        temperature=1,
        seed=3,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    text = client.completions.create(model="tiny", prompt="The printer", max_tokens=5)
    assert text.usage is not None and text.usage.completion_tokens == 5


def test_the_openai_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt", messages=ASKED)
    with pytest.raises(openai.BadRequestError, match="logprobs is not supported"):
        client.chat.completions.create(model="tiny", messages=ASKED, logprobs=True)


def test_requests_at_once_get_the_answers_they_get_alone(client: openai.OpenAI) -> None:
    asked = [
        "printer",
        "The router does not restart at all, and the printer too.",
        "Grüße",
        "a",
        "wait, then",
    ]

    def ask(text: str) -> str:
        return client.completions.create(model="tiny", prompt=text, max_tokens=40).choices[0].text

    alone = {text: ask(text) for text in asked}
    together: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda text=text: together.__setitem__(text, ask(text))) for text in asked
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_stops_its_answer(
    kept: tuple[Endpoint, StepRun], client: openai.OpenAI, stream: bool
) -> None:
    url = kept[0].url
    name = 'llmops_requests_total{endpoint="completion",status="499"}'
    before = metric(url, name)
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"model": "tiny", "prompt": "x" * 5, "max_tokens": 64, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    for _ in range(50):  # a short answer may be over before the hanging up is noticed
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            if stream:
                connection.recv(100)
        time.sleep(0.05)
        if metric(url, name) > before:
            break
    assert metric(url, name) > before
    end = time.monotonic() + 5
    while metric(url, "llmops_requests_in_flight") and time.monotonic() < end:
        time.sleep(0.05)
    assert metric(url, "llmops_requests_in_flight") == 0


def test_a_taken_port_is_named_before_anything_starts(
    kept: tuple[Endpoint, StepRun], step: StepRun, release: Release
) -> None:
    port = int(kept[0].url.rpartition(":")[2])
    with pytest.raises(StepError, match=f"cannot listen on 127.0.0.1 port {port}.*choose another port"):
        openai_server(dataclasses.replace(QUICK, port=port), step, release=release)


def test_stopping_leaves_a_process_alone_that_is_not_the_server(release: Release, step: StepRun) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        stop(
            Endpoint(
                folder=step.folder, url="http://x", release=release, environment="dev", process=other.pid
            ),
            step,
        )
        assert other.poll() is None
        other.communicate(b"\n")


def test_a_probed_server_is_stopped_again_and_its_key_stays_secret(
    release: Release, step: StepRun, told: list[Event], tmp_path: Path
) -> None:
    config = dataclasses.replace(QUICK, api_key="${secret:KEY}", host="0.0.0.0")
    endpoint = openai_server(config, step, release=release)
    assert endpoint.process == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(endpoint.url.rpartition(":")[2]))).close()
    assert warnings_in(told) == []
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"s3cret-value" not in path.read_bytes()
    assert "s3cret-value" not in repr(told)


def test_a_server_that_dies_at_start_is_quoted(release: Release, step: StepRun, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "tokenizer.json").write_text("not json")
    candidate = dataclasses.replace(release.candidate, folder=broken)
    with pytest.raises(StepError, match="the server ended while starting") as caught:
        openai_server(QUICK, step, release=dataclasses.replace(release, candidate=candidate))
    assert str(caught.value).splitlines()[-1].startswith("  the model could not be loaded: ")
    assert len(str(caught.value).splitlines()) < 12


@pytest.mark.parametrize("gates", [{}, {"bleu": {"passed": False}}, {"a": {"passed": True}, "bleu": {}}])
def test_a_release_without_passed_gates_is_not_served(release: Release, step: StepRun, gates: Any) -> None:
    with pytest.raises(StepError, match=r"has no gates|did not pass bleu"):
        openai_server(QUICK, step, release=dataclasses.replace(release, gates=gates))


def test_an_unset_key_ends_it_before_anything_starts(release: Release, step: StepRun) -> None:
    without = dataclasses.replace(step, read_secret=None)
    with pytest.raises(SecretError, match="KEY is not set"):
        openai_server(dataclasses.replace(QUICK, api_key="${secret:KEY}"), without, release=release)


def test_an_address_open_to_others_without_a_key_is_warned_about(
    release: Release, step: StepRun, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*given: Any) -> Any:
        raise StepError("not started")

    monkeypatch.setattr("llmops_serve.deploy.start", nothing)
    with pytest.raises(StepError, match="not started"):
        openai_server(dataclasses.replace(QUICK, host="0.0.0.0"), step, release=release)
    assert len(warnings_in(told)) == 1 and "set api_key" in warnings_in(told)[0]


def test_the_foreground_server_tells_when_it_is_live_and_ends_on_sigterm(
    release: Release, step: StepRun
) -> None:
    told: list[Any] = []

    def live(endpoint: Endpoint) -> None:
        told.append(endpoint)
        with openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="none") as client:
            told.append(client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=3).usage)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    status = serve(QUICK, step, release=release, live=live, ended=told.append)
    endpoint, usage, reason = told
    assert (status, usage.completion_tokens, reason) == (0, 3, "stopped")
    assert signal.getsignal(signal.SIGTERM) is before
    assert gone_within(endpoint.process, process_mark(endpoint.process), 1)


STARTER = """
import sys, time
from pathlib import Path
from llmops_serve.process import bound_socket, start, wait_until_ready
from llmops_serve.server_settings import ServerSettings
folder = Path(sys.argv[1])
settings = ServerSettings.read(folder / "given.json")
started = start(settings, folder / "s.json", bound_socket("127.0.0.1", 0), folder / "log", None)
wait_until_ready(started, 60)
print(started.process.pid, flush=True)
time.sleep(60)
"""


def test_a_server_ends_when_whoever_started_it_is_killed(settings: Any, tmp_path: Path) -> None:
    settings.write(tmp_path / "given.json")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    ) as starter:
        assert starter.stdout is not None
        server = int(starter.stdout.readline())
        mark = process_mark(server)
        starter.kill()
    assert mark and gone_within(server, mark, 15)


def test_a_stop_lets_the_answer_in_work_finish(release: Release, step: StepRun) -> None:
    endpoint = openai_server(dataclasses.replace(QUICK, keep=True), step, release=release)
    mark = process_mark(endpoint.process)
    with openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="none", max_retries=0) as client:
        stream = client.completions.create(model="tiny", prompt="a", max_tokens=64, stream=True)
        first = next(iter(stream))
        stop(endpoint, step)
        rest = list(stream)
    assert first.choices[0].finish_reason is None
    assert rest[-1].choices[0].finish_reason in ("length", "stop")
    assert gone_within(endpoint.process, mark, 1)


def test_the_probe_and_its_key_go_through_no_proxy(
    release: Release, step: StepRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        openai_server(dataclasses.replace(QUICK, api_key="${secret:KEY}"), step, release=release)
    assert (step.folder / "probe.json").is_file()


def test_a_server_that_ends_while_it_is_being_stopped_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(number: int, release: str) -> bool:
        raise FileNotFoundError(f"/proc/{number}/cmdline")

    monkeypatch.setattr(process, "_is_server", gone)
    assert process.stop_process(os.getpid(), "d" * 64, 0)
