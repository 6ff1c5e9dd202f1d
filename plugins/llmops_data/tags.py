"""Names for datasets in a store, one file a tag: STORE/tags/NAME.json holds "digest" and the tag's history.

A tag is moved by replacing its file: whoever reads it sees the old one or the new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmops_core.errors import LockedError, UsageError
from llmops_core.files import locked, read_json, write_json
from llmops_core.manifest import now
from llmops_core.store import Store

FORMAT = 1
NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")
HEXADECIMAL = re.compile(r"[0-9a-f]+")
RESERVED = ("latest",)


@dataclass(frozen=True)
class Tag:
    """A name, the digest it stands for, since when, and what it stood for before."""

    name: str
    digest: str
    since: str
    history: Sequence[Mapping[str, Any]] = ()


def tags(store: Store) -> list[Tag]:
    """Every tag, by name."""
    folder = store.root / "tags"
    found = []
    for path in sorted(folder.glob("[a-z]*.json")) if folder.is_dir() else ():
        kept = read_json(path)
        found.append(Tag(path.stem, kept["digest"], kept["since"], kept.get("history", ())))
    return found


def tagged(store: Store, name: str) -> Tag | None:
    """The tag of that name."""
    return next((one for one in tags(store) if one.name == name), None)


def check_name(name: str) -> None:
    """Raises UsageError for a name that a tag cannot have."""
    if not NAME.fullmatch(name) or name in RESERVED or HEXADECIMAL.fullmatch(name):
        remedy = "Use lower-case letters, digits, . _ and -, starting with a letter, and no mere digest."
        raise UsageError(f"a tag cannot be called {name!r}", remedy=remedy)


def move(
    store: Store,
    name: str,
    digest: str,
    audits: Sequence[Mapping[str, Any]],
    expected: str | None = None,
) -> Tag:
    """Have a tag stand for this digest from now on.

    `expected`: what it must stand for now ("": nothing), since that is what the audits compared with.
    Raises UsageError for a name that cannot be one, LockedError when it stands for something else.
    """
    check_name(name)
    with locked(store.root / "locks" / "tags"):
        before = tagged(store, name)
        if expected is not None and expected != (before.digest if before else ""):
            raise LockedError(
                f"the tag {name} was moved by somebody else meanwhile", remedy="Audit again: run it again."
            )
        history = list(before.history) if before else []
        if before and before.digest != digest:
            history.append({"digest": before.digest, "since": before.since, "until": now()})
        since = before.since if before and before.digest == digest else now()
        kept = {
            "format": FORMAT,
            "digest": digest,
            "since": since,
            "audits": list(audits),
            "history": history,
        }
        write_json(store.root / "tags" / f"{name}.json", kept)
    return Tag(name, digest, since, history)
