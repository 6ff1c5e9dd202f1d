"""What clients may ask, in the words of OpenAI's API, and how they are told that they may not."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]  # a request's JSON, which may hold anything until it was checked here

STOPS_AT_MOST = 4

HINTS = frozenset(
    {
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
"""They change nothing in the answer, so they are let through."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (),
    "echo": (False,),
    "suffix": ("",),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}
"""OpenAI's fields that this server cannot fulfil, and the values at which they ask for nothing."""

OPTIONS = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "model",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
    }
)


class ApiError(Exception):
    """An answer that refuses: a status, and what OpenAI's error JSON holds."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's JSON shape."""
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What holds for requests that do not say, and the most that they may ask."""

    model: str
    max_new_tokens: int
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to answer, the same for chats and completions."""

    max_tokens: int
    temperature: float
    top_p: float = 1.0
    stops: tuple[str, ...] = ()
    seed: int | None = None
    stream: bool = False
    include_usage: bool = False


def read_body(content: bytes) -> Body:
    """The JSON object in a request. Raises ApiError."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the request's body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ApiError(400, "the request's body is not a JSON object")
    return body


def read_options(body: Body, own: str, defaults: Defaults) -> Options:
    """The options in `body`; `own` is the field that the endpoint adds ("messages", "prompt").

    Raises ApiError.
    """
    _refuse_unknown(body, own)
    model = body.get("model")
    if not isinstance(model, str):
        raise ApiError(400, f"say which model: this server has {defaults.model!r}", param="model")
    if model != defaults.model:
        raise ApiError(
            404,
            f"the model {model!r} is not here; this server has {defaults.model!r}",
            param="model",
            code="model_not_found",
        )
    stream = _boolean(body, "stream")
    return Options(
        max_tokens=_max_tokens(body, defaults.max_new_tokens),
        temperature=_number(body, "temperature", 2, defaults.temperature),
        top_p=_number(body, "top_p", 1, 1.0),
        stops=_stops(body.get("stop")),
        seed=_integer(body, "seed"),
        stream=stream,
        include_usage=_include_usage(body.get("stream_options"), stream),
    )


def read_messages(body: Body) -> list[dict[str, str]]:
    """The conversation, each message as {"role", "content"} with plain text. Raises ApiError."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "messages must be a list of at least one message", param="messages")
    return [_message(message, f"messages[{number}]") for number, message in enumerate(messages)]


def read_prompt(body: Body) -> str | Sequence[int]:
    """The prompt of a completion, as text or as token ids. Raises ApiError."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        prompt = prompt[0]
    if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
        return prompt
    if isinstance(prompt, list) and prompt:
        raise ApiError(400, "one prompt a request: send several requests at once instead", param="prompt")
    return _text(prompt, "prompt")


def _refuse_unknown(body: Body, own: str) -> None:
    known = OPTIONS | HINTS | NEUTRAL.keys() | {own}
    for name, value in body.items():
        if name not in known:
            near = difflib.get_close_matches(name, sorted(OPTIONS | {own}), n=1)
            meant = f". Did you mean {near[0]}?" if near else ""
            raise ApiError(400, f"unrecognized request argument supplied: {name}{meant}", param=name)
        if name in NEUTRAL and value is not None and not _is_neutral(value, NEUTRAL[name]):
            raise ApiError(
                400, f"{name} is not supported by this server", param=name, code="unsupported_parameter"
            )


def _is_neutral(value: Any, neutral: tuple[Any, ...]) -> bool:
    return any(type(value) is type(one) and value == one for one in neutral)


def _number(body: Body, name: str, most: float, otherwise: float) -> float:
    value = body.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ApiError(400, f"{name} must be a number from 0 to {most}", param=name)
    return float(value)


def _integer(body: Body, name: str) -> int | None:
    value = body.get(name)
    if value is not None and type(value) is not int:
        raise ApiError(400, f"{name} must be a whole number", param=name)
    return value


def _boolean(body: Body, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(400, f"{name} must be true or false", param=name)
    return bool(value)


def _max_tokens(body: Body, most: int) -> int:
    asked = {
        name: count
        for name in ("max_tokens", "max_completion_tokens")
        if (count := _integer(body, name)) is not None
    }
    for name, count in asked.items():
        if not 1 <= count <= most:
            raise ApiError(400, f"{name} must be from 1 to {most}, the most this server gives", param=name)
    if len(set(asked.values())) > 1:
        raise ApiError(400, "max_tokens and max_completion_tokens differ: send one", param="max_tokens")
    return next(iter(asked.values()), most)


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or len(stops) > STOPS_AT_MOST or not all(stops):
        raise ApiError(
            400, f"stop must be a text or a list of at most {STOPS_AT_MOST}, none empty", param="stop"
        )
    return tuple(_text(stop, "stop") for stop in stops)


def _include_usage(value: Any, stream: bool) -> bool:
    if value is None:
        return False
    if not stream:
        raise ApiError(400, "stream_options is only allowed with stream: true", param="stream_options")
    if not isinstance(value, dict) or not value.keys() <= {"include_usage", "include_obfuscation"}:
        raise ApiError(400, "stream_options may hold include_usage only", param="stream_options")
    return _boolean(value, "include_usage")


def _message(message: Any, where: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise ApiError(400, f"{where} is not an object", param=where)
    role = message.get("role")
    if role not in ("system", "developer", "user", "assistant"):
        raise ApiError(
            400, f"{where}.role must be system, developer, user or assistant", param=f"{where}.role"
        )
    if message.get("tool_calls") or message.get("function_call"):
        raise ApiError(400, f"{where}: tool calls are not supported by this server", param=where)
    # "developer" is OpenAI's newer word for what open models' templates know as "system".
    role = "system" if role == "developer" else role
    return {"role": role, "content": _content(message.get("content"), f"{where}.content")}


def _content(content: Any, where: str) -> str:
    if not isinstance(content, list):
        return _text(content, where)
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise ApiError(400, f"{where}: only parts of type text are supported by this server", param=where)
    return "".join(_text(part.get("text"), where) for part in content)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ApiError(400, f"{where} must be a text", param=where)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ApiError(400, f"{where} holds half of a surrogate pair", param=where) from error
    return value
