"""Reads the YAML files of the ChatterBot corpus: `conversations:`, a list of lists of lines.

What the lines after the first are differs by file. In most there is one answer; in a few (computers,
emotion, literature, psychology) they are alternative answers to the first line; in others
(conversations, health, sports) two speakers take turns. The files do not say which, so a source does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from llmops_core.errors import DataError
from llmops_data.entries import Broken, Entry, wrong
from llmops_data.rows import Message

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C one where PyYAML has it: twenty times faster."""


def read(path: Path, title: str, *, alternatives: bool) -> Iterator[Entry | Broken]:
    """Each conversation of a file. Raises DataError when the file is no such YAML at all."""
    for node in _conversations(path, title):
        origin = f"{title}:{node.start_mark.line + 1}"
        lines = _lines(node)
        if lines is None:
            quote = node.value if isinstance(node, yaml.ScalarNode) else ""
            yield Broken(origin, "a conversation is a list of lines", quote)
        elif len(lines) < 2:
            yield Broken(origin, "there is no answer", " ".join(lines))
        else:
            yield from _checked(origin, _alternatives(lines) if alternatives else [_dialogue(lines)])


def _conversations(path: Path, title: str) -> Sequence[yaml.Node]:
    # Nodes rather than values: they know their line, and leave 1963, yes and no the words they are.
    try:
        with path.open("rb") as file:
            root = yaml.compose(file, Loader=LOADER)
    except yaml.YAMLError as error:
        raise DataError(
            f"it is no YAML: {' '.join(str(error).split())}", where=title, remedy="Mend it."
        ) from error
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "conversations" and isinstance(value, yaml.SequenceNode):
            conversations: Sequence[yaml.Node] = value.value
            return conversations
    raise DataError("it has no list called conversations", where=title, remedy="Is it of another format?")


def _lines(node: yaml.Node) -> list[str] | None:
    if not isinstance(node, yaml.SequenceNode):
        return None
    lines = [str(line.value) for line in node.value if isinstance(line, yaml.ScalarNode)]
    return lines if len(lines) == len(node.value) else None


def _alternatives(lines: Sequence[str]) -> list[tuple[Message, ...]]:
    return [(Message("user", lines[0]), Message("assistant", answer)) for answer in lines[1:]]


def _dialogue(lines: Sequence[str]) -> tuple[Message, ...]:
    """Two speakers in turn; a last line that nobody answers is left out."""
    even = lines[: len(lines) // 2 * 2]
    return tuple(Message("assistant" if turn % 2 else "user", line) for turn, line in enumerate(even))


def _checked(origin: str, found: Sequence[tuple[Message, ...]]) -> Iterator[Entry | Broken]:
    for number, messages in enumerate(found, 1):
        name = origin if number == 1 else f"{origin}#{number}"
        why = wrong(messages)
        yield Broken(name, why, messages[0].content) if why else Entry(name, messages)
