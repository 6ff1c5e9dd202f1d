"""Answers in the JSON shapes of OpenAI's API."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Usage:
    """Tokens read and written for one request."""

    prompt: int
    completion: int

    def json(self) -> dict[str, int]:
        """As OpenAI counts them."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


def _chat_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What all parts of one answer share."""

    kind: Literal["chat", "completion"]
    model: str
    fingerprint: str
    """Tells which release answered."""
    id: str = field(default_factory=_chat_id)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finish: str, usage: Usage) -> dict[str, Any]:
        """The answer in one piece."""
        said: dict[str, Any] = {"text": text}
        if self.kind == "chat":
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
        name = "chat.completion" if self.kind == "chat" else "text_completion"
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        return {**self._head(name), "choices": [choice], "usage": usage.json()}

    def opening(self, *, usage_follows: bool) -> bytes:
        """The first event of a chat's stream, which names the speaker; nothing for a completion."""
        if self.kind != "chat":
            return b""
        return self._chunk({"delta": {"role": "assistant", "content": ""}}, None, usage_follows)

    def piece(self, text: str, finish: str | None, *, usage_follows: bool) -> bytes:
        """One event of a stream. With `usage_follows` it says that its usage is still to come."""
        if self.kind == "chat":
            return self._chunk({"delta": {"content": text} if text else {}}, finish, usage_follows)
        return self._chunk({"text": text}, finish, usage_follows)

    def usage(self, usage: Usage) -> bytes:
        """The last event of a stream that was asked to tell its usage."""
        return event({**self._head(self._chunk_name), "choices": [], "usage": usage.json()})

    @property
    def _chunk_name(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat" else "text_completion"

    def _chunk(self, said: Mapping[str, Any], finish: str | None, usage_follows: bool) -> bytes:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if usage_follows else {}
        return event({**self._head(self._chunk_name), "choices": [choice], **usage})

    def _head(self, name: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.kind == "chat" else "cmpl"
        return {
            "id": f"{prefix}-{self.id}",
            "object": name,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def event(value: Mapping[str, Any]) -> bytes:
    """A server-sent event. ASCII only: some clients take U+2028 within a line for its end."""
    return b"data: " + json.dumps(value).encode("ascii") + b"\n\n"
