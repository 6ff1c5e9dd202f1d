"""The shapes that rows come in, told apart by their keys, and the shapes that a Dataset may have.

Read, one object a row (a text under "system" opens any conversation):

    messages       {"messages": [{"role": ..., "content": ...}, ...]}
    sharegpt       {"conversations": [{"from": "human" or "gpt", "value": ...}, ...]}
    preference     {"prompt": ..., "chosen": ..., "rejected": ...}    prompt may open both answers instead
    completion     {"prompt": ..., "completion": ...}                 each a text or a list of messages
    qa             {"question": ..., "answer": ..., "contexts": [...]}    contexts (or context) may be absent
    alpaca         {"instruction": ..., "input": ..., "output": ...}      input may be absent
    text           {"text": ...}                                      "title" may be beside it

Written: see `written`. Other keys are ignored, unless the source keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmops_data.entries import SPOKEN, Broken, Entry, Record, wrong, wrong_text
from llmops_data.rows import Message, Row

FITS_NONE = "fits no known shape"
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
KEYS: Mapping[str, Sequence[str]] = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "preference": ("chosen", "rejected"),
    "completion": ("prompt", "completion"),
    "qa": ("question", "answer"),
    "alpaca": ("instruction", "output"),
    "text": ("text",),
}
"""What each shape must have; the first that fits is taken."""

KNOWN = "; ".join(" + ".join(keys) for keys in KEYS.values())

TOOLS = "tools are used in it, and only what is said can be learnt from here"


class UnreadableError(ValueError):
    """Why an object is no row."""


def entry(record: Record, shape: str, wanted: str, keep: Sequence[str] = ()) -> Entry | Broken:
    """A record as a row of the wanted shape. `shape` is one of KEYS, or "detect"."""
    try:
        if not isinstance(record.values, Mapping):
            raise UnreadableError("it is not an object")
        values = usual(record.values)
        found = detected(values) if shape == "detect" else shape
        missing = [key for key in KEYS[found] if key not in values]
        if missing:
            raise UnreadableError(f"it has no {missing[0]}, which the shape {found} needs")
        messages = converted(READERS[found](values), wanted)
    except UnreadableError as error:
        return Broken(record.origin, str(error), record.quote)
    except RecursionError:
        return Broken(record.origin, "it is nested too deep", record.quote)
    why = wrong(messages) if wanted == "messages" else wrong_text(messages)
    if why:
        return Broken(record.origin, why, record.quote)
    facts = {name: record.values[name] for name in (*keep, "title") if name in record.values}
    return Entry(record.origin, messages, {name: plain(value) for name, value in facts.items()}, found)


def usual(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object with the usual keys beside others of the same meaning.

    Dolly's and TRL's `response`, OpenAI's preference pairs, SQuAD's `answers`.
    """
    if "response" in values:
        answers = (
            {"output": values["response"]} if "instruction" in values else {"completion": values["response"]}
        )
        given = {"input": values["context"]} if "instruction" in values and "context" in values else {}
        return {**answers, **given, **values}
    if "preferred_output" in values and "non_preferred_output" in values:
        asked = values.get("input")
        prompt = asked.get("messages") if isinstance(asked, Mapping) else asked
        pair = {"chosen": values["preferred_output"], "rejected": values["non_preferred_output"]}
        return {**values, **pair, **({} if prompt is None else {"prompt": prompt})}
    answers = values.get("answers")
    if "question" in values and "answer" not in values and isinstance(answers, Mapping):
        texts = answers.get("text")
        if isinstance(texts, (list, tuple)):
            return {**values, "answer": texts[0] if texts else ""}
    return values


def detected(values: Mapping[str, Any]) -> str:
    """The shape of an object. Raises UnreadableError when it has none of them."""
    for shape, keys in KEYS.items():
        if all(key in values for key in keys):
            return shape
    keys = ", ".join([*map(str, values)][:6]) or "none"
    raise UnreadableError(f"what it holds ({keys}) {FITS_NONE}")


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _spoken(values: Mapping[str, Any]) -> list[Message]:
    return [*_system(values), *_messages(values["messages"], "role", "content")]


def _sharegpt(values: Mapping[str, Any]) -> list[Message]:
    said = values["conversations"]
    named = isinstance(said, (list, tuple)) and said and isinstance(said[0], Mapping) and "role" in said[0]
    spoken = _messages(said, "role", "content") if named else _messages(said, "from", "value")
    told = [Message(SPEAKERS.get(message.role, message.role), message.content) for message in spoken]
    return [*_system(values), *told]


def _preference(values: Mapping[str, Any]) -> list[Message]:
    prompt = _side(values["prompt"], "prompt", "user") if "prompt" in values else []
    chosen = _side(values["chosen"], "chosen", "assistant")
    rejected = _side(values["rejected"], "rejected", "assistant")
    if not prompt:
        while len(chosen) > 1 and rejected[:1] == chosen[:1]:
            prompt, chosen, rejected = [*prompt, chosen[0]], chosen[1:], rejected[1:]
    if len(chosen) > 1 and chosen[:-1] == prompt:
        chosen, rejected = chosen[-1:], rejected[-1:]
    if len(chosen) != 1 or len(rejected) != 1:
        raise UnreadableError("chosen and rejected are not two answers to one prompt")
    if chosen == rejected:
        raise UnreadableError("chosen and rejected are the same")
    return [*_system(values), *prompt, *chosen, Message("rejected", rejected[0].content)]


def _completion(values: Mapping[str, Any]) -> list[Message]:
    asked = _side(values["prompt"], "prompt", "user")
    return [*_system(values), *asked, *_side(values["completion"], "completion", "assistant")]


def _qa(values: Mapping[str, Any]) -> list[Message]:
    given = values.get("contexts", values.get("context")) or []
    contexts = [_text(one, "contexts") for one in (given if isinstance(given, (list, tuple)) else [given])]
    told = [Message("context", one) for one in contexts if one.strip()]
    asked = _side(values["question"], "question", "user")
    return [*_system(values), *told, *asked, *_side(values["answer"], "answer", "assistant")]


def _alpaca(values: Mapping[str, Any]) -> list[Message]:
    asked = _text(values["instruction"], "instruction")
    if given := values.get("input"):
        asked = f"{asked}\n\n{_text(given, 'input')}"
    return [*_system(values), Message("user", asked), Message("assistant", _text(values["output"], "output"))]


def _plain_text(values: Mapping[str, Any]) -> list[Message]:
    return [Message("text", _text(values["text"], "text"))]


READERS: Mapping[str, Callable[[Mapping[str, Any]], list[Message]]] = {
    "messages": _spoken,
    "sharegpt": _sharegpt,
    "preference": _preference,
    "completion": _completion,
    "qa": _qa,
    "alpaca": _alpaca,
    "text": _plain_text,
}


def _system(values: Mapping[str, Any]) -> list[Message]:
    system = values.get("system")
    return [Message("system", system)] if isinstance(system, str) and system.strip() else []


def _side(value: Any, key: str, role: str) -> list[Message]:
    if isinstance(value, (list, tuple)):
        return _messages(value, "role", "content")
    return [Message(role, _text(value, key))]


def _messages(value: Any, role: str, content: str) -> list[Message]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, Mapping) for one in value):
        raise UnreadableError("its messages are not a list of objects")
    return [_message(one, role, content) for one in value]


def _message(one: Mapping[str, Any], role: str, content: str) -> Message:
    who = _text(one.get(role), role)
    if (
        one.get("tool_calls")
        or one.get("function_call")
        or who in ("tool", "function", "function_call", "observation")
    ):
        raise UnreadableError(TOOLS)
    return Message("system" if who == "developer" else who, _content(one.get(content), content))


def _content(value: Any, key: str) -> str:
    """A message's text, also where it is a list of parts, as OpenAI's API takes them."""
    if not isinstance(value, (list, tuple)):
        return _text(value, key)
    kinds = [part.get("type") if isinstance(part, Mapping) else type(part).__name__ for part in value]
    other = next((kind for kind in kinds if kind != "text"), None)
    if other is not None:
        raise UnreadableError(f"it holds {other}, and only texts are read")
    return "\n".join(_text(part.get("text"), key) for part in value)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise UnreadableError(f"{key} is not a text")
    return value


def converted(messages: Sequence[Message], wanted: str) -> tuple[Message, ...]:
    """The messages of a row in the shape wanted of the data set. Raises UnreadableError where none can be."""
    roles = [message.role for message in messages]
    if wanted == "text":
        kept = (one.content for one in messages if one.role != "rejected")
        return (Message("text", "\n\n".join(kept)),)
    if "text" in roles:
        raise UnreadableError("a text alone is no conversation; set shape: text")
    if wanted == "preference":
        if "rejected" not in roles:
            raise UnreadableError("it has no rejected answer")
        return tuple(messages)
    kept_messages = tuple(one for one in messages if one.role != "rejected")
    return kept_messages if wanted == "qa" else _with_contexts_said(kept_messages)


def _with_contexts_said(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Contexts become the opening of the first question."""
    contexts = [one.content for one in messages if one.role == "context"]
    said = [one for one in messages if one.role != "context"]
    for place, one in enumerate(said):
        if contexts and one.role == "user":
            said[place] = Message("user", "\n\n".join([*contexts, one.content]))
            break
    return tuple(said)


def written(row: Row, shape: str, facts: Sequence[str] = ()) -> dict[str, Any]:
    """A row as a Dataset holds it.

    "messages": {"messages": [...]}; "preference": {"prompt": [...], "chosen": [...], "rejected": [...]}, of
    messages; "qa": {"question", "answer", "contexts"}; "text": {"text", "origin"} and "title" where known.
    Beside them, "facts": those of `facts` that are known of the row.
    """
    known = {name: row.facts[name] for name in facts if name in row.facts}
    return {**_written(row, shape), **({"facts": known} if known else {})}


def _written(row: Row, shape: str) -> dict[str, Any]:
    said = [{"role": one.role, "content": one.content} for one in row.messages]
    if shape == "text":
        title = {"title": row.facts["title"]} if row.facts.get("title") else {}
        return {"text": row.messages[0].content, "origin": row.origin, **title}
    if shape == "preference":
        rejected = {"role": "assistant", "content": said[-1]["content"]}
        return {"prompt": said[:-2], "chosen": [said[-2]], "rejected": [rejected]}
    if shape == "qa":
        asked = [one["content"] for one in said[:-1] if one["role"] in SPOKEN]
        contexts = [one["content"] for one in said if one["role"] == "context"]
        return {"question": "\n\n".join(asked), "answer": said[-1]["content"], "contexts": contexts}
    return {"messages": said}
