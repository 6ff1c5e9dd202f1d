"""One spelling of digits, dashes, blanks and Latin letters, whose places in the text it came from are known.

"４１１１" and "4\u200b111" hide a number from a pattern and not from a reader.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache

BLANKS = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
INVISIBLE = (
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\ufeff"
)
LAST_DIGITS = 0x1FC00
"""Beyond it Unicode has no digits."""


@dataclass(frozen=True)
class Folded:
    """A text in one spelling. `places`: where letters were left out, each one's place in the original."""

    text: str
    places: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a piece of it, at least a letter long, stands in the original."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def folded(text: str) -> Folded:
    """A text with plain digits, dashes and blanks, and without invisible characters."""
    if text.isascii():
        return Folded(text)
    plain = text.translate(_table())  # a letter for a letter: places stay
    if not any(one in plain for one in INVISIBLE):
        return Folded(plain)
    kept = [place for place, letter in enumerate(plain) if letter not in INVISIBLE]
    return Folded("".join([plain[place] for place in kept]), tuple(kept))


@cache
def _table() -> dict[int, str]:
    found = {
        code: str(unicodedata.decimal(chr(code)))
        for code in range(0x80, LAST_DIGITS)
        if chr(code).isdecimal()
    }
    found |= {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFF5F)}
    found |= {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0x1D400, 0x1D800)}
    found |= dict.fromkeys(map(ord, BLANKS), " ") | dict.fromkeys(map(ord, DASHES), "-")
    return {code: letter for code, letter in found.items() if len(letter) == 1}
