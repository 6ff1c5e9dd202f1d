"""Reads JSON: one array of objects, an object at a time, however long the file is."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO

from llmops_data.entries import Broken, Record
from llmops_data.opening import BLOCK, LONGEST_LINE

BLANK = re.compile(r"[ \t\r\n]*")
UNFINISHED = re.compile(r"[0-9eE+.-]*")
DECODER = json.JSONDecoder()
QUOTED = 200


class _Text:
    """A file's text, of which little more than what is not read yet is held."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
        self._held = ""
        self._at = 0
        self._ended = False

    def _more(self) -> bool:
        """Read on, as much again as waits, so that a long object is not tried often; False at the end."""
        if self._ended:
            return False
        block = self._file.read(max(BLOCK, len(self._held) - self._at))
        self._ended = not block
        self._held = self._held[self._at :] + self._decoder.decode(block, final=self._ended)
        self._at = 0
        return True

    def next(self) -> str:
        """The next letter that is not blank, which stays to be read; "" at the end."""
        while True:
            self._at = BLANK.match(self._held, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more():
                return ""

    def take(self) -> str:
        """The same, and read on behind it."""
        letter = self.next()
        self._at += len(letter)
        return letter

    def value(self) -> tuple[object, str]:
        """The JSON value that comes next, and how it begins. Raises ValueError where there is none."""
        while True:
            self.next()
            try:
                value, end = DECODER.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                if len(self._held) - self._at > LONGEST_LINE:
                    raise ValueError(f"longer than {LONGEST_LINE / 1e6:,.0f} MB") from None
                if not self._more():
                    raise ValueError(error.msg) from None
                continue
            # a number may go on behind what is held: 2.5e+ is 2.5 so far
            if UNFINISHED.fullmatch(self._held, end) and self._more():
                continue
            quote = self._held[self._at : min(end, self._at + QUOTED)]
            self._at = end
            return value, quote

    @property
    def quote(self) -> str:
        """What comes next, as far as it is held."""
        return self._held[self._at : self._at + QUOTED]


def read(file: IO[bytes], title: str, encoding: str = "utf-8") -> Iterator[Record | Broken]:
    """Each object of the array; what follows something that is no JSON cannot be read."""
    text = _Text(file, encoding)
    number = 0
    try:
        if text.next() != "[":
            yield Broken(
                title, "it is no array of objects; of one object a line say format: jsonl", text.quote
            )
            return
        text.take()
        if text.next() == "]":
            return
        after = ","
        while after == ",":
            number += 1
            value, quote = text.value()
            yield Record(f"{title}:{number}", value, quote)
            after = text.take()
        why = (
            ""
            if after == "]"
            else f"{after!r} stands where a comma should"
            if after
            else "the array does not end"
        )
    except UnicodeDecodeError:
        why = f"it is not {encoding.upper()}"
    except RecursionError:
        why = "it is nested too deep"
    except ValueError as error:
        why = f"it is not JSON ({error})"
    if why:
        yield Broken(f"{title}:{number}", f"{why}; what follows it was not read", text.quote)
