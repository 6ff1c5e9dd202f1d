"""What the readers of file formats give: an entry that is a row, or one that is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_data.rows import NO_FACTS, Message

SPOKEN = ("system", "user", "assistant")


@dataclass(frozen=True)
class Entry:
    """A row as it was read: its texts, what else is known of it, and the shape it had."""

    origin: str
    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=lambda: NO_FACTS)
    shape: str = "messages"


@dataclass(frozen=True)
class Broken:
    """Something that is no row: where, why, and what it says."""

    origin: str
    why: str
    quote: str = ""


@dataclass(frozen=True)
class Record:
    """Named values as a file holds them, before anybody knows what they mean."""

    origin: str
    values: Any
    quote: str = ""


def wrong(messages: Sequence[Message]) -> str:
    """Why these messages are no conversation to learn from; "" when they are one."""
    if unknown := next((message.role for message in messages if message.role not in SPOKEN), ""):
        return f"no such role as {unknown!r}"
    if not messages or messages[-1].role != "assistant":
        return "the last message is not the assistant's"
    if not any(message.role == "user" for message in messages[:-1]):
        return "nobody asks"
    return wrong_text(messages)


def wrong_text(messages: Sequence[Message]) -> str:
    """Why the texts of these messages cannot be used; "" when they can."""
    if not all(message.content.strip() for message in messages):
        return "a message is empty" if len(messages) > 1 else "it holds no text"
    try:
        "".join(message.content for message in messages).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return ""
