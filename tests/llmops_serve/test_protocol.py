"""What requests may say, and what they are told when they may not."""

from __future__ import annotations

from typing import Any

import pytest

from llmops_serve.protocol import ApiError, Defaults, read_body, read_messages, read_options, read_prompt

DEFAULTS = Defaults(model="tiny", max_new_tokens=64, temperature=0.0)


def options(**body: Any) -> Any:
    return read_options({"model": "tiny", "messages": [], **body}, "messages", DEFAULTS)


def test_defaults_hold_for_what_a_request_leaves_out_or_sets_to_null() -> None:
    for body in ({}, {"max_tokens": None, "temperature": None, "stop": None, "seed": None, "stream": None}):
        found = options(**body)
        assert (found.max_tokens, found.temperature, found.top_p) == (64, 0.0, 1.0)
        assert (found.stops, found.seed, found.stream, found.include_usage) == ((), None, False, False)


def test_what_is_asked_is_taken() -> None:
    asked = {"max_completion_tokens": 3, "temperature": 1, "top_p": 0.5, "stop": ["a", "b"], "seed": 7}
    found = options(**asked, stream=True, stream_options={"include_usage": True})
    assert (found.max_tokens, found.temperature, found.top_p, found.stops) == (3, 1.0, 0.5, ("a", "b"))
    assert (found.seed, found.stream, found.include_usage) == (7, True, True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 65}, "max_tokens"),
        ({"max_tokens": 2.0}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"stop": [""]}, "stop"),
        ({"stop": list("abcde")}, "stop"),
        ({"stop": 5}, "stop"),
        ({"seed": "7"}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 0}, "logprobs"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"top_k": 5}, "top_k"),
        ({"model": None}, "model"),
    ],
)
def test_a_wrong_value_is_refused_and_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        options(**body)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param in caught.value.message


def test_fields_that_ask_for_nothing_are_let_through() -> None:
    neutral = {
        "n": 1,
        "logprobs": False,
        "tools": [],
        "response_format": {"type": "text"},
        "presence_penalty": 0,
    }
    options(**neutral, top_logprobs=None, user="me", metadata={"a": "b"}, frequency_penalty=0.0)


def test_an_unknown_field_suggests_the_nearest() -> None:
    with pytest.raises(ApiError, match=r"temprature\. Did you mean temperature"):
        options(temprature=1)


def test_another_model_is_not_found() -> None:
    with pytest.raises(ApiError, match="'gpt' is not here; this server has 'tiny'") as caught:
        options(model="gpt")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 200_000])
def test_a_body_that_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(ApiError, match="the request's body is not") as caught:
        read_body(content)
    assert caught.value.status == 400


def test_messages_become_plain_text_with_roles_that_templates_know() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "be kind"}, {"role": "user", "content": parts, "name": "me"}]
    assert read_messages({"messages": messages}) == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "ab"},
    ]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        (["hi"], "messages[0]"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "robot", "content": "hi"}], "messages[0].role"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content"),
        ([{"role": "user", "content": "\ud800"}], "messages[0].content"),
        ([{"role": "assistant", "content": "", "tool_calls": [{}]}], "messages[0]"),
    ],
)
def test_a_wrong_message_is_refused_and_named(messages: Any, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_messages({"messages": messages})
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_prompt_is_one_text_or_one_list_of_tokens() -> None:
    assert read_prompt({"prompt": "hi"}) == "hi"
    assert read_prompt({"prompt": ["hi"]}) == "hi"
    assert read_prompt({"prompt": [1, 2]}) == [1, 2]
    assert read_prompt({"prompt": [[1, 2]]}) == [1, 2]
    for wrong in (None, [], ["a", "b"], [1, True], 5):
        with pytest.raises(ApiError):
            read_prompt({"prompt": wrong})
