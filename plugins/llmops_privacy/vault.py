"""What pseudonyms stand for, sealed with the key: STORE/pseudonyms/FINGERPRINT.sqlite, readable by its owner.

Each row holds a pseudonym and one spelling of its value under AES-SIV (RFC 5297): whoever changes it is found
out, and the same spelling is sealed the same way, so that a step may be run again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from llmops_core.errors import StoreError, UsageError
from llmops_privacy.pseudonyms import Key

FOLDER = "pseudonyms"
PATIENCE = 120
"""Seconds to wait for another process that writes."""
TABLE = (
    "create table if not exists pseudonyms (pseudonym text, sealed blob, primary key (pseudonym, sealed)) "
    "without rowid"
)


@dataclass(frozen=True)
class Vault:
    """The sealed values of one key in one store."""

    state: Path
    key: Key

    @property
    def path(self) -> Path:
        """Its file."""
        return self.state / FOLDER / f"{self.key.fingerprint}.sqlite"

    def keep(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take in pseudonyms, each with a spelling of what it stands for. Raises StoreError."""
        cipher = AESSIV(self.key.sealing)
        rows = [
            (name, cipher.encrypt(said.encode("utf-8", "surrogatepass"), [name.encode()]))
            for name, said in sorted(set(pairs))
        ]
        if not rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.path.exists():
            self.path.touch(mode=0o600)
        with self._opened() as vault, vault:
            vault.execute(TABLE)
            vault.executemany("insert or ignore into pseudonyms values (?, ?)", rows)

    def spellings(self, pseudonym: str) -> list[str]:
        """Everything that was replaced by a pseudonym, sorted; none if it is unknown. Raises StoreError."""
        if not self.path.exists():
            return []
        with self._opened() as vault:
            vault.execute(TABLE)
            rows = vault.execute("select sealed from pseudonyms where pseudonym = ?", (pseudonym,)).fetchall()
        cipher = AESSIV(self.key.sealing)
        try:
            return sorted(
                cipher.decrypt(sealed, [pseudonym.encode()]).decode("utf-8", "surrogatepass")
                for (sealed,) in rows
            )
        except InvalidTag as error:
            what = f"what {pseudonym} stands for cannot be opened: it was changed, or sealed with another key"
            raise StoreError(what, where=str(self.path)) from error

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as vault:
                yield vault
        except sqlite3.Error as error:
            remedy = "Is the disk full, or the file not yours?"
            raise StoreError(
                f"the pseudonyms cannot be kept: {error}", where=str(self.path), remedy=remedy
            ) from error


def of_other_keys(state: Path) -> list[str]:
    """The fingerprints of the keys that sealed something in a store."""
    return sorted(path.stem for path in (state / FOLDER).glob("*.sqlite"))


def opened(state: Path, key: Key) -> Vault:
    """The vault of a key. Raises UsageError when nothing in the store was sealed with it."""
    vault = Vault(state, key)
    if not vault.path.exists():
        others = ", ".join(of_other_keys(state)) or "none"
        what = f"nothing in {state} was sealed with the key {key.fingerprint}"
        raise UsageError(what, remedy=f"Keys that sealed something there: {others}.")
    return vault
