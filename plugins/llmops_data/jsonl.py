"""Reads JSONL in the shapes that chat data comes in, one object a line:

    {"messages": [{"role": ..., "content": ...}, ...]}
    {"conversations": [{"from": "human" or "gpt", "value": ...}, ...]}
    {"prompt": ..., "completion": ...}            each a text or a list of messages
    {"question": ..., "answer": ...}
    {"instruction": ..., "input": ..., "output": ...}    input may be absent

A text under "system" opens any of them. Other keys are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops_data.entries import Broken, Entry, wrong
from llmops_data.rows import Message

PAIRS = (("prompt", "completion"), ("question", "answer"), ("instruction", "output"))
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
SHAPES = "messages, conversations, prompt + completion, question + answer, instruction + output"


class UnreadableError(ValueError):
    """Why an object is no conversation."""


def read(path: Path, title: str) -> Iterator[Entry | Broken]:
    """Each line of a file that is not blank."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _entry(f"{title}:{number}", line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)


def _entry(origin: str, line: bytes) -> Entry | Broken:
    quote = line[:200].decode("utf-8", "replace")
    try:
        messages = conversation(json.loads(line.decode("utf-8")))
    except UnicodeDecodeError:
        return Broken(origin, "it is not UTF-8", quote)
    except json.JSONDecodeError as error:
        return Broken(origin, f"it is not JSON ({error.msg} at column {error.colno})", quote)
    except RecursionError:
        return Broken(origin, "it is nested too deep", quote)
    except UnreadableError as error:
        return Broken(origin, str(error), quote)
    why = wrong(messages)
    return Broken(origin, why, quote) if why else Entry(origin, messages)


def conversation(value: Any) -> tuple[Message, ...]:
    """The messages in an object of one of the shapes; raises UnreadableError."""
    if not isinstance(value, Mapping):
        raise UnreadableError("it is not an object")
    system = value.get("system")
    opening = (Message("system", system),) if isinstance(system, str) and system.strip() else ()
    return (*opening, *_said(value))


def _said(value: Mapping[str, Any]) -> Sequence[Message]:
    if "messages" in value:
        return _messages(value["messages"], "role", "content")
    if "conversations" in value:
        spoken = _messages(value["conversations"], "from", "value")
        return [Message(SPEAKERS.get(message.role, message.role), message.content) for message in spoken]
    for asked, answered in PAIRS:
        if asked in value and answered in value:
            question = value[asked]
            if asked == "instruction" and isinstance(question, str) and (given := value.get("input")):
                question = f"{question}\n\n{_text(given, 'input')}"
            return [*_side(question, asked, "user"), *_side(value[answered], answered, "assistant")]
    raise UnreadableError(f"it has none of {SHAPES}")


def _side(value: Any, key: str, role: str) -> Sequence[Message]:
    if isinstance(value, list):
        return _messages(value, "role", "content")
    return [Message(role, _text(value, key))]


def _messages(value: Any, role: str, content: str) -> Sequence[Message]:
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise UnreadableError("its messages are not a list of objects")
    return [Message(_text(one.get(role), role), _text(one.get(content), content)) for one in value]


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise UnreadableError(f"{key} is not a text")
    return value
