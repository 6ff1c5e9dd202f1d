"""The releases of a store by name: r-1, r-2, ... A name stands for one digest for good."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from llmops_core.artifacts import Release
from llmops_core.errors import StoreError, UsageError
from llmops_core.files import create_json, read_json
from llmops_core.manifest import now
from llmops_core.migrate import Migration, migrate
from llmops_core.store import Store

FORMAT = 1
RELEASE_MIGRATIONS: dict[int, Migration] = {}


@dataclass(frozen=True)
class NamedRelease:
    """A release's name, its digest, and which run made it when."""

    name: str
    digest: str
    run: str
    made: str


def _folder(store: Store) -> Path:
    return store.root / "releases"


def all_releases(store: Store) -> list[NamedRelease]:
    """Every release, the newest first."""
    folder = _folder(store)
    files = [path for path in folder.glob("r-*.json") if path.stem[2:].isdecimal()] if folder.is_dir() else []
    found = []
    for path in sorted(files, key=lambda path: int(path.stem[2:]), reverse=True):
        record = read_json(path)
        if not isinstance(record, dict) or not {"digest", "run", "made"} <= set(record):
            raise StoreError(f"{path} is damaged", remedy="Remove it, or restore it from a copy.")
        record = migrate(record, FORMAT, RELEASE_MIGRATIONS, f"the release {path.stem}")
        found.append(NamedRelease(path.stem, record["digest"], record["run"], record["made"]))
    return found


def register(store: Store, digest: str, run: str) -> str:
    """The name of a release; a digest that has one keeps it."""
    while True:
        known = all_releases(store)
        for release in known:
            if release.digest == digest:
                return release.name
        name = f"r-{int(known[0].name[2:]) + 1 if known else 1}"
        record = {"format": FORMAT, "name": name, "digest": digest, "run": run, "made": now()}
        if create_json(_folder(store) / f"{name}.json", record):
            return name


def find(store: Store, text: str) -> NamedRelease:
    """A release by name, by the start of its digest, or "latest". Raises UsageError."""
    known = all_releases(store)
    if text == "latest" and known:
        return known[0]
    prefix = bool(re.fullmatch(r"[0-9a-f]{4,64}", text))
    found = [one for one in known if one.name == text or (prefix and one.digest.startswith(text))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{text} is the start of {len(found)} releases", remedy="Give more of the digest.")
    raise UsageError(f"there is no release {text} in {store.root}", remedy="See: llmops releases")


def open_release(store: Store, digest: str) -> Release:
    """A release ready to be served: whole, verified byte by byte, with every gate passed.

    Raises StoreError for anything else.
    """
    artifact = store.open(digest)
    if not isinstance(artifact, Release):
        what = f"{digest[:12]} is a {type(artifact).__name__}, not a release"
        raise StoreError(what, remedy="Only what passed its gates is served. See: llmops releases")
    if not artifact.gates or not all(gate.get("passed") is True for gate in artifact.gates.values()):
        raise StoreError(
            f"{digest[:12]} has no passed gates", remedy="Run its recipe; it is released if they pass."
        )
    wrong = store.damage(digest)
    if wrong:
        raise StoreError(f"the release {digest[:12]} is damaged: {wrong[0]}", remedy="Run its recipe again.")
    return artifact
