"""What the readers of file formats give: an entry that is a conversation, or one that is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmops_data.rows import Message

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Entry:
    """A conversation as it was read."""

    origin: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Broken:
    """Something that is no conversation: where, why, and what it says."""

    origin: str
    why: str
    quote: str = ""


def wrong(messages: Sequence[Message]) -> str:
    """Why these messages are no conversation to learn from; "" when they are one."""
    if unknown := next((message.role for message in messages if message.role not in ROLES), ""):
        return f"no such role as {unknown!r}"
    if not messages or messages[-1].role != "assistant":
        return "the last message is not the assistant's"
    if not any(message.role == "user" for message in messages[:-1]):
        return "nobody asks"
    if not all(message.content.strip() for message in messages):
        return "a message is empty"
    try:
        "".join(message.content for message in messages).encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return ""
