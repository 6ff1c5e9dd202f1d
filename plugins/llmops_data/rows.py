"""What a data step is given and gives: the contract of the group "data/step".

A step is `def name(config, run: StepRun, *, rows: Sequence[Row])`. `rows` may be longer than memory: it
lies on disk, is read as it is iterated, and knows its length. The step returns the rows that are left, in
their order (made with dataclasses.replace where it changes one, so that `origin` stays): any iterable, a
generator too. Or it returns an Outcome when it has more to say; an object with an Outcome's fields will do.

A function with the attribute `by_rows = True` looks at one row at a time: it may be called several times,
with some rows each, also in several processes, and says what it did in `counts`, which are summed. What a
step gives is kept and taken again while its rows, its config, the run's seed and the sources of its package
are the same; the attribute `cached = False` has it run anew every time. The attribute `in_store`, true or
a function of the config that says so, keeps it on the machine of the store: it reads or writes `run.state`.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

NO_FACTS: Mapping[str, Any] = {}
PLACES = struct.Struct("<qqd?")
"""A link on disk: the places of its rows, its similarity, and whether the second was left out."""


@dataclass(frozen=True)
class Message:
    """One text of a row. `role` is "system", "user" or "assistant" of what was said in a conversation;
    "rejected" for the worse answer of a preference pair, "context" for what a question is asked about,
    "text" for a text that nobody says."""

    role: str
    content: str


@dataclass(frozen=True)
class Row:
    """A conversation, a preference pair, a text: every text in it is one of its messages."""

    origin: str
    """Where it was read, and its name: "SOURCE/FILE:LINE", with "#2" behind it for a second row."""
    messages: tuple[Message, ...]
    facts: Mapping[str, Any] = field(default_factory=lambda: NO_FACTS)
    """What is known of it beside its texts, as plain values: language, time, label, title."""

    @property
    def prompt(self) -> str:
        """All that was said before the last answer; of a single text, the text."""
        *before, last = (one for one in self.messages if one.role != "rejected")
        return "\n".join(message.content for message in before or [last])

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join([message.content for message in self.messages])

    @property
    def fingerprint(self) -> str:
        """A digest of what was said by whom."""
        said = json.dumps([(message.role, message.content) for message in self.messages])
        return hashlib.sha256(said.encode()).hexdigest()


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

    rows: Iterable[Row]
    note: str = ""
    links: Iterable[Link] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many rows or things of each kind: {"under 2 characters left out": 3}. In the funnel, and its note
    where there is no other. Read once the rows were taken: a generator of rows may count as it goes."""


@dataclass(frozen=True)
class Chosen(Iterable[Row]):
    """Some of a sequence's rows, in their order: those whose place in `kept` is true."""

    rows: Sequence[Row]
    kept: Sequence[Any]

    def __iter__(self) -> Iterator[Row]:
        return compress(self.rows, self.kept)

    def __len__(self) -> int:
        return sum(1 for kept in self.kept if kept)


class Links(Sequence[Link]):
    """Links between rows of a sequence, by their places in it, in a temporary file of a folder."""

    def __init__(self, rows: Sequence[Row], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._rows = rows
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed with this)
        self._count = 0

    def __del__(self) -> None:
        self._file.close()

    def add(self, first: int, second: int, similarity: float, dropped: bool) -> None:
        """Link two rows."""
        self._file.write(PLACES.pack(first, second, similarity, dropped))
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(self._count)[index]
        self._file.flush()
        found = os.pread(self._file.fileno(), PLACES.size, place * PLACES.size)
        first, second, similarity, dropped = PLACES.unpack(found)
        return Link(self._rows[first], self._rows[second], similarity, dropped)


def changed(before: Sequence[Row], after: Sequence[Row]) -> Mapping[str, int]:
    """What a step that says nothing did: how many rows it left out and how many it changed."""
    known = {row.origin: row for row in before}
    touched = sum(known.get(row.origin) != row for row in after)
    counts = {"left out": len(before) - len(after), "changed": touched}
    return {name: count for name, count in counts.items() if count > 0}


def told(counts: Mapping[str, int]) -> str:
    """Counts in a few words; "nothing changed" where there are none."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing changed"
