"""The HTTP face in this process: answers, streams, refusals, counters."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from llmops_serve.app import BODY_BYTES, build_app
from llmops_serve.engine import Engine
from llmops_serve.server_settings import ServerSettings
from llmops_serve.weights import Loaded, load

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "The printer does not print."}]}


@pytest.fixture(scope="module")
def loaded(settings: ServerSettings) -> Loaded:
    return load(settings, lambda line: None)


@contextmanager
def serving(
    settings: ServerSettings, load_it: Callable[[], Loaded], api_key: str | None = None
) -> Iterator[tuple[TestClient, Engine]]:
    failures: list[str] = []
    engine = Engine(load_it, settings.max_requests, settings.max_batch, failures.append)
    app = build_app(engine, settings, api_key)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, engine
    assert failures == []


def ready(client: TestClient) -> None:
    end = time.monotonic() + 20
    while client.get("/health").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture(scope="module")
def client(settings: ServerSettings, loaded: Loaded) -> Iterator[TestClient]:
    with serving(settings, lambda: loaded) as (client, _):
        ready(client)
        yield client


def events(answer: Any) -> list[dict[str, Any]]:
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def test_a_chat_is_answered_with_text_usage_and_reason(client: TestClient, loaded: Loaded) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 5})
    body = answer.json()
    assert (answer.status_code, body["object"], body["model"]) == (200, "chat.completion", "tiny")
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["finish_reason"] == "length"
    prompt = len(loaded.encode_chat(CHAT["messages"]))  # type: ignore[arg-type]
    assert body["usage"] == {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5}


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seed": 5, "top_p": 0.9}])
@pytest.mark.parametrize("kind", ["chat/completions", "completions"])
def test_a_stream_says_what_the_whole_answer_says(client: TestClient, kind: str, sampling: Any) -> None:
    body = {**CHAT, **sampling, "max_tokens": 30}
    if kind == "completions":
        body = {"model": "tiny", "prompt": "The printer", **sampling, "max_tokens": 30}
    whole = client.post(f"/v1/{kind}", json=body).json()
    streamed = client.post(
        f"/v1/{kind}", json={**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events(streamed)
    if kind == "completions":
        said, expected = "".join(one["choices"][0]["text"] for one in chunks), whole["choices"][0]["text"]
    else:
        deltas = [one["choices"][0]["delta"] for one in chunks]
        assert deltas[0] == {"role": "assistant", "content": ""}
        said = "".join(delta.get("content", "") for delta in deltas)
        expected = whole["choices"][0]["message"]["content"]
    assert said == expected and len(chunks) > 3
    assert [one["choices"][0]["finish_reason"] for one in chunks[-2:]] == [
        None,
        whole["choices"][0]["finish_reason"],
    ]
    assert last["choices"] == [] and last["usage"] == whole["usage"]
    assert all(one["usage"] is None for one in chunks)


def test_the_answer_ends_before_a_stop_string(client: TestClient) -> None:
    body = {"model": "tiny", "prompt": "The printer", "max_tokens": 30}
    text = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    stop = text[4:9]
    choice = client.post("/v1/completions", json={**body, "stop": [stop]}).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (text[: text.index(stop)], "stop")


def test_an_end_token_ends_the_answer_and_is_not_shown(
    settings: ServerSettings, loaded: Loaded, client: TestClient
) -> None:
    body = {"model": "tiny", "prompt": "The printer", "max_tokens": 30}
    text = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    ends = frozenset(loaded.encode(text[-1]))
    with serving(settings, lambda: dataclasses.replace(loaded, end_tokens=ends)) as (other, _):
        ready(other)
        answer = other.post("/v1/completions", json=body).json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert text.startswith(answer["choices"][0]["text"]) and answer["choices"][0]["text"] != text
    assert answer["usage"]["completion_tokens"] <= 30


def test_an_answer_ends_where_the_model_can_take_no_more(
    client: TestClient, settings: ServerSettings
) -> None:
    prompt = [5] * (settings.context - 3)
    answer = client.post("/v1/completions", json={"model": "tiny", "prompt": prompt}).json()
    assert answer["usage"]["total_tokens"] == settings.context
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("chat/completions", {**CHAT, "model": "gpt"}, 404, "model_not_found"),
        ("chat/completions", {**CHAT, "logprobs": True}, 400, "unsupported_parameter"),
        ("completions", {"model": "tiny", "prompt": [5] * 96}, 413, "context_length_exceeded"),
        ("completions", {"model": "tiny", "prompt": [5000]}, 400, None),
        ("completions", {"model": "tiny", "prompt": ""}, 400, None),
        ("nothing", {}, 404, None),
    ],
)
def test_refusals_have_the_shape_that_openai_clients_read(
    client: TestClient, path: str, body: Any, status: int, code: str | None
) -> None:
    answer = client.post(f"/v1/{path}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert error["message"] and "param" in error


def test_what_the_chat_template_refuses_is_the_clients_mistake(client: TestClient) -> None:
    messages = [*CHAT["messages"], {"role": "system", "content": "late"}]
    answer = client.post("/v1/chat/completions", json={"model": "tiny", "messages": messages})
    assert answer.status_code == 400 and "system comes first" in answer.json()["error"]["message"]


def test_a_model_without_a_chat_template_completes_only(
    settings: ServerSettings, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(settings, lambda: loaded) as (client, _):
        ready(client)
        assert client.get("/v1/models/tiny").json()["chat"] is True
        monkeypatch.setattr(loaded.tokenizer, "chat_template", None)
        assert client.get("/v1/models/tiny").json()["chat"] is False
        refused = client.post("/v1/chat/completions", json=CHAT)
        assert refused.status_code == 400 and "use /v1/completions" in refused.json()["error"]["message"]
        assert client.post("/v1/completions", json={"model": "tiny", "prompt": "a"}).status_code == 200


def test_a_body_that_is_too_long_or_not_json_is_refused(client: TestClient) -> None:
    kind = {"content-type": "application/json"}
    for content, headers, status in [
        (b"{", kind, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b" " * (BODY_BYTES + 1), kind, 413),
    ]:
        answer = client.post("/v1/chat/completions", content=content, headers=headers)
        assert answer.status_code == status and answer.json()["error"]["message"]


def test_models_lists_the_one_with_its_release(client: TestClient, settings: ServerSettings) -> None:
    (one,) = client.get("/v1/models").json()["data"]
    assert (one["id"], one["release"], one["object"]) == ("tiny", settings.release, "model")
    assert client.get("/v1/models/tiny").json() == one
    assert client.get("/v1/models/gpt").json()["error"]["code"] == "model_not_found"


def test_nothing_is_answered_without_the_key_but_health_and_metrics(
    settings: ServerSettings, loaded: Loaded
) -> None:
    with serving(settings, lambda: loaded, "s3cret") as (client, _):
        ready(client)
        for header in (None, "Bearer", "Bearer s3cre", "Basic s3cret", "Bearer ключ".encode()):
            headers: Any = {} if header is None else {"Authorization": header}
            for answer in (
                client.post("/v1/chat/completions", json=CHAT, headers=headers),
                client.get("/v1/models", headers=headers),
            ):
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        given = {"Authorization": "Bearer s3cret"}
        assert (
            client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 1}, headers=given).status_code
            == 200
        )
        assert client.get("/metrics").status_code == 200


def counted(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_counters_tell_requests_tokens_and_the_release(client: TestClient, settings: ServerSettings) -> None:
    names = (
        'llmops_requests_total{endpoint="chat",status="200"}',
        "llmops_prompt_tokens_total",
        "llmops_completion_tokens_total",
        'llmops_first_token_seconds_count{endpoint="chat"}',
        'llmops_request_seconds_count{endpoint="chat"}',
    )
    before = [counted(client, name) for name in names]
    usage = client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 4}).json()["usage"]
    after = [counted(client, name) for name in names]
    grown = [new - old for old, new in zip(before, after, strict=True)]
    assert grown == [1, usage["prompt_tokens"], 4, 1, 1]
    assert counted(client, f'llmops_release_info{{digest="{settings.release}",model="tiny"}}') == 1
    assert counted(client, "llmops_requests_in_flight") == 0


def test_while_it_loads_it_says_so(settings: ServerSettings, loaded: Loaded) -> None:
    go = threading.Event()

    def slowly() -> Loaded:
        go.wait(20)
        return loaded

    with serving(settings, slowly) as (client, _):
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "loading")
        answer = client.post("/v1/chat/completions", json=CHAT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        go.set()
        ready(client)


class Gated:
    """A model that takes a step only when told to."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.go = threading.Event()
        self.config, self.device = model.config, model.device

    def get_input_embeddings(self) -> Any:
        return self.model.get_input_embeddings()

    def __call__(self, **given: Any) -> Any:
        assert self.go.wait(20)
        return self.model(**given)


def test_one_request_too_many_is_turned_away_and_later_ones_are_welcome(
    settings: ServerSettings, loaded: Loaded
) -> None:
    gated = Gated(loaded.model)
    few = dataclasses.replace(settings, max_requests=2)
    answers: list[int] = []
    with serving(few, lambda: dataclasses.replace(loaded, model=gated)) as (client, engine):
        ready(client)

        def ask() -> None:
            answers.append(client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 2}).status_code)

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in asking:
            thread.start()
        while engine.in_flight < 2:
            time.sleep(0.01)
        refused = client.post("/v1/chat/completions", json=CHAT)
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
        assert refused.headers["retry-after"] == "1"
        gated.go.set()
        for thread in asking:
            thread.join()
        ask()
    assert answers == [200, 200, 200]


def test_a_model_that_fails_is_told_and_does_not_end_the_server(
    settings: ServerSettings, loaded: Loaded, capfd: pytest.CaptureFixture[str]
) -> None:
    class Flaky(Gated):
        broken_at = 3

        def __call__(self, **given: Any) -> Any:
            self.broken_at -= 1
            if self.broken_at == 0:
                raise MemoryError("no more")
            return self.model(**given)

    flaky = dataclasses.replace(loaded, model=Flaky(loaded.model))
    with serving(settings, lambda: flaky) as (client, engine):
        ready(client)
        broken = client.post("/v1/chat/completions", json=CHAT)
        assert (broken.status_code, broken.json()["error"]["type"]) == (500, "server_error")
        assert "MemoryError" in broken.json()["error"]["message"]
        assert client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 2}).status_code == 200
        assert engine.in_flight == 0
    assert "no more" in capfd.readouterr().err
