"""Rewrites every text of rows, and says what became of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from llmops_data.rows import Message, Outcome, Row


def rewritten(rows: Sequence[Row], change: Callable[[str], str], word: str) -> Outcome:
    """The rows with each text changed; a row with a text of which nothing is left is left out.

    `word` is what happened to those that were: "repaired".
    """
    counts = {"with nothing left": 0, word: 0}

    def changed() -> Iterator[Row]:
        for row in rows:
            messages = tuple(Message(one.role, change(one.content)) for one in row.messages)
            if all(one.content.strip() for one in messages):
                counts[word] += messages != row.messages
                yield dataclasses.replace(row, messages=messages)
            else:
                counts["with nothing left"] += 1

    return Outcome(changed(), counts=counts)
