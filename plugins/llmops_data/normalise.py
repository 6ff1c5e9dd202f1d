"""One spelling of every character and space."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Sequence

from llmops_core.step import StepRun
from llmops_data.config import Normalise
from llmops_data.rows import Message, Outcome, Row, changed

INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u2060\ufeff\u00ad]")
BLANKS = re.compile(r"(?<=\S)[^\S\n]+")
"""Blanks inside a line; those that open one stay, they may indent code."""
EMPTY_LINES = re.compile(r"\n{3,}")


def normalise(config: Normalise, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Normalise every message; rows with nothing left to ask or to answer are left out."""
    cleaned = [
        dataclasses.replace(row, messages=tuple(_message(config, message) for message in row.messages))
        for row in rows
    ]
    kept = [row for row in cleaned if all(message.content for message in row.messages)]
    return Outcome(kept, counts=changed(rows, kept))


def _message(config: Normalise, message: Message) -> Message:
    return Message(message.role, clean(message.content, config))


normalise.by_rows = True  # type: ignore[attr-defined]


def clean(text: str, config: Normalise) -> str:
    """A text in the form that the config asks for; doing it twice changes nothing more."""
    if config.spaces:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text if _all_printable(text) else INVISIBLE.sub("", text)
    if config.unicode != "none" and not text.isascii():
        text = unicodedata.normalize(config.unicode, text)
    if config.spaces:
        text = EMPTY_LINES.sub("\n\n", "\n".join(map(_line, text.split("\n")))).strip()
    return text


def _all_printable(text: str) -> bool:
    return all(map(str.isprintable, text.split("\n")))


def _line(line: str) -> str:
    """A line with one space between words. Most have no other blanks: asking is quicker than replacing."""
    if "  " in line or not line.isprintable():
        line = BLANKS.sub(" ", line)
    return line.rstrip()
