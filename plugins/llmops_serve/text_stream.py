"""From tokens to text as it is spoken: whole characters only, and never past a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what a decoder gives for bytes that are no whole character


@dataclass
class Detokenizer:
    """Turns tokens into text piece by piece; the pieces joined are the text of all tokens together.

    `decode` turns a sequence of token ids into text. Text is held back while it may end within a
    character that the next token completes.
    """

    decode: Callable[[Sequence[int]], str]
    tokens: list[int] = field(default_factory=list)
    _context: int = 0
    """Tokens from here are decoded again with each new one: some tokens' text depends on their left."""
    _told: int = 0
    """Tokens before this one have been given out."""

    def push(self, token: int) -> str:
        """The text that is certain now."""
        self.tokens.append(token)
        return self._take(finished=False)

    def finish(self) -> str:
        """What was held back, whole or not."""
        return self._take(finished=True)

    def _take(self, *, finished: bool) -> str:
        before = self.decode(self.tokens[self._context : self._told])
        text = self.decode(self.tokens[self._context :])
        if len(text) <= len(before) or (text.endswith(UNFINISHED) and not finished):
            return ""
        self._context, self._told = self._told, len(self.tokens)
        return text[len(before) :]


@dataclass
class StopStrings:
    """Lets text through up to the first stop string, which may lie across pieces.

    The first is the one that is complete first (of two complete at once, the longer), so that the same text
    cut into other pieces stops at the same place.
    """

    stops: Sequence[str]
    found: bool = False
    _held: str = ""

    def push(self, text: str) -> str:
        """The part of the text so far that is certain to come before any stop string."""
        if self.found:
            return ""
        held = self._held + text
        ends = [
            (held.find(stop) + len(stop), held.find(stop)) for stop in self.stops if stop and stop in held
        ]
        if ends:
            self.found, self._held = True, ""
            return held[: min(ends)[1]]
        keep = max((_overlap(held, stop) for stop in self.stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def finish(self) -> str:
        """What was held back in case a stop string followed."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
