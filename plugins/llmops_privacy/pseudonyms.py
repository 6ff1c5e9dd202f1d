"""Stand-ins for values: the same for the same value, made with a key that lies apart from the data.

A pseudonym is a keyed digest (HMAC-SHA256, 60 bits of it): without the key it is neither made nor undone.
It wears its kind's form where a range is reserved for what belongs to nobody: example.org and .invalid (RFC
2606), 2001:db8::/32 (RFC 3849). It holds no digit otherwise, so that it looks like no number.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from llmops_core.errors import SecretError

LETTERS = "bcdfghjklmnpqrstvwxz"
"""Consonants: no word comes of them."""
LENGTH = 14
SHORTEST = 22
"""Characters of a key; as many of base64 are 128 bits, which nobody guesses from a fingerprint."""


@dataclass(frozen=True)
class Key:
    """A secret, and all that is made with it. Its text appears nowhere."""

    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"

    @cached_property
    def fingerprint(self) -> str:
        """Which key it is, to be told in public. Letters only: YAML takes some digits for numbers."""
        return _letters(self._made("fingerprint", ""))

    @cached_property
    def sealing(self) -> bytes:
        """The 64 bytes that values are sealed with."""
        return hmac.digest(self.secret, b"llmops privacy seal", hashlib.sha512)

    def pseudonym(self, kind: str, value: str) -> str:
        """What stands in for a value of a kind."""
        made = self._made(kind, _spelled(value))
        if kind == "IP_ADDRESS" and ":" in value:
            return str(ipaddress.IPv6Address((0x20010DB8 << 96) | int.from_bytes(made[:8], "big")))
        letters = _letters(made)
        if kind == "EMAIL_ADDRESS":
            return f"{letters}@example.org"
        return f"https://{letters}.invalid/" if kind == "URL_WITH_PASSWORD" else f"{kind}_{letters}"

    def _made(self, what: str, value: str) -> bytes:
        return hmac.digest(
            self.secret, f"llmops privacy {what}\0{value}".encode("utf-8", "surrogatepass"), "sha256"
        )


def key_of(secret: str, name: str) -> Key:
    """The key that a secret's text is. Raises SecretError when it is too short to keep anything secret."""
    plain = secret.strip()
    if len(plain) < SHORTEST:
        what = f"the secret {name} has fewer than {SHORTEST} characters, too few for a key of pseudonyms"
        raise SecretError(what, remedy="Make one: llmops privacy key FILE")
    return Key(plain.encode())


def _letters(made: bytes) -> str:
    """A digest in letters, 60 bits of it."""
    number, letters = int.from_bytes(made, "big"), ""
    for _ in range(LENGTH):
        number, place = divmod(number, len(LETTERS))
        letters += LETTERS[place]
    return letters


def _spelled(value: str) -> str:
    """A value without what differs between two spellings of it: case, widths, blanks."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
