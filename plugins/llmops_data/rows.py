"""What a data step is given and gives.

A step of the group "data/step" is `def name(config, run: StepRun, *, rows: Sequence[Row])`. It returns
the rows that are left, in their order (made with dataclasses.replace where it changes one, so that
`origin` stays), or an Outcome when it has more to say. An object with an Outcome's fields will do too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One thing said. `role` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class Row:
    """A conversation; the last message is the assistant's."""

    origin: str
    """Where it was read, and its name: "SOURCE/FILE:LINE", with "#2" behind it for a second row."""
    messages: tuple[Message, ...]

    @property
    def prompt(self) -> str:
        """All that was said before the last answer."""
        return "\n".join(message.content for message in self.messages[:-1])

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(message.content for message in self.messages)

    @property
    def fingerprint(self) -> str:
        """A digest of what was said by whom."""
        said = json.dumps([(message.role, message.content) for message in self.messages])
        return hashlib.sha256(said.encode()).hexdigest()

    def json(self) -> dict[str, Any]:
        """The row as a Dataset of shape "messages" holds it."""
        return {"messages": [{"role": one.role, "content": one.content} for one in self.messages]}


@dataclass(frozen=True)
class Link:
    """Two rows that are duplicates: they may not be in different splits."""

    first: Row
    """The earlier one."""
    second: Row
    similarity: float
    """1.0: the same in all that was compared."""
    dropped: bool
    """Whether the second was left out for it."""


@dataclass(frozen=True)
class Outcome:
    """The rows that a step left, what it has to say about it, and the duplicates it found."""

    rows: Sequence[Row]
    note: str = ""
    links: Sequence[Link] = ()


def changed(before: Sequence[Row], after: Sequence[Row]) -> str:
    """What a step that says nothing did, in a few words."""
    known = {row.origin: row for row in before}
    touched = sum(known.get(row.origin) != row for row in after)
    told = [f"{len(before) - len(after):,} left out" if len(after) < len(before) else ""]
    told.append(f"{touched:,} changed" if touched else "")
    return ", ".join(filter(None, told)) or "nothing changed"
