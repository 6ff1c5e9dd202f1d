"""Secrets are read by name at the moment of use, and taken out of everything that is written down."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

HIDDEN = "[secret]"
SHORTEST = 6
"""Characters. Hiding a shorter value would tear holes into ordinary words."""
_NAMED_IN = re.compile(r"\$\{secret:([^}]+)\}")
_LOOKS_SECRET = re.compile(
    r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_?KEY(_ID)?|PRIVATE_?KEY)$"
)


class Secrets:
    """Reads secrets from the environment and remembers which values must never be shown."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        """Spelling of a value -> the secret's name; a longer one stands first."""

    def read(self, name: str) -> str:
        """The value of a secret. Raises SecretError when it is not set, or too short to be hidden."""
        from llmops_core.errors import SecretError

        value = os.environ.get(name, "")
        if not value:
            raise SecretError(f"the secret {name} is not set", remedy=f"Set the environment variable {name}.")
        if len(value) < SHORTEST:
            what = (
                f"the secret {name} has fewer than {SHORTEST} characters, too few to be kept out of records"
            )
            raise SecretError(what, remedy="Use a longer one.")
        self.hide(value, name)
        return value

    def expect(self, names: Iterable[str]) -> None:
        """Hide the values of these secrets from now on, read or not."""
        for name in names:
            self.hide(os.environ.get(name, ""), name)

    def expect_usual(self) -> None:
        """Hide what libraries read by themselves: variables named like a token, password or key."""
        self.expect(name for name in os.environ if _LOOKS_SECRET.search(name.upper()))

    def hide(self, value: str, name: str) -> None:
        """Let a value be shown no more, as it is or as JSON, Python and addresses spell it."""
        if len(value) < SHORTEST or value in self.seen:
            return
        found = {**self.seen, **dict.fromkeys(_spellings(value), name)}
        self.seen = dict(sorted(found.items(), key=lambda item: -len(item[0])))

    def redact(self, value: Any) -> Any:
        """A copy of a text or JSON value in which no secret can be found."""
        if not self.seen:
            return value
        if isinstance(value, str):
            for secret in self.seen:
                if secret in value:
                    value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, dict):
            return {self.redact(key): self.redact(member) for key, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.redact(member) for member in value]
        return value


def named_in(value: Any) -> Iterator[str]:
    """The names of the secrets that a recipe's values refer to."""
    if isinstance(value, str):
        yield from _NAMED_IN.findall(value)
    elif isinstance(value, dict):
        for member in value.values():
            yield from named_in(member)
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from named_in(member)


def _spellings(value: str) -> set[str]:
    import json
    from urllib.parse import quote, quote_plus

    found = {value, value.strip(), json.dumps(value)[1:-1], repr(value)[1:-1]}
    found |= {
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
    }
    found |= {line.strip() for line in value.splitlines()}  # a key of many lines is also shown line by line
    return {one for one in found if len(one) >= SHORTEST}


class _Redacted:
    """A text stream that shows no secret; everything else is the stream's own."""

    def __init__(self, stream: Any, secrets: Secrets) -> None:
        self._stream = stream
        self._secrets = secrets

    def write(self, text: str) -> int:
        self._stream.write(self._secrets.redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def redacted_streams(secrets: Secrets) -> Iterator[None]:
    """Take secrets out of whatever Python code of this process writes to its standard streams.

    Out of reach: what other processes and compiled code write straight to the file descriptors, and a
    secret that is written in pieces.
    """
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Redacted(stream, secrets) for stream in kept)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept
