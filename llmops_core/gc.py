"""Removes what nothing holds. Never what a running run, a release, a deployment or a tag holds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llmops_core.errors import StoreError
from llmops_core.files import read_json
from llmops_core.journal import Journal
from llmops_core.manifest import Manifest, all_runs
from llmops_core.processes import is_gone
from llmops_core.releases import all_releases
from llmops_core.store import Store


@dataclass(frozen=True)
class Garbage:
    """Something that nothing holds: where it lies, what it is, and its size in bytes."""

    path: Path
    what: str
    size: int


def collect(store: Store, *, keep_latest: bool = True, dry_run: bool = False) -> list[Garbage]:
    """Remove (or with `dry_run` only list) everything that nothing holds.

    `keep_latest` also keeps what the latest run of each recipe used, so that running it again reuses it.
    """
    with store.lock(shared=False):
        held = holding(store, keep_latest=keep_latest)
        found = [*_artifacts(store, held), *_keys(store, held), *_temporary(store), *_scratch(store)]
        for garbage in () if dry_run else found:
            _remove(garbage.path)
    return found


def holding(store: Store, *, keep_latest: bool = True) -> set[str]:
    """The digest of every artifact that something holds."""
    roots = {release.digest for release in all_releases(store)}
    for deployment in Journal(store.root, lambda text: None).history():
        roots |= {deployment.digest, str(deployment.how.get("endpoint", ""))}
    seen: set[str] = set()
    for run in all_runs(store):
        if run.status == "damaged":
            raise StoreError(
                f"the record of run {run.id} is damaged, so what it holds is not known",
                remedy=f"Remove it: llmops runs rm {run.id}",
            )
        recipe = str(run.document.get("recipe"))
        latest = keep_latest and recipe not in seen
        seen.add(recipe)
        if run.status == "running" or run.document.get("tags") or latest:
            roots |= set(digests(run))
    return {digest for root in roots if root for digest in store.holds(root)}


def digests(run: Manifest) -> Iterator[str]:
    """Every digest that a run's record names."""
    for record in run.document.get("steps", ()):
        yield from (record.get("inputs") or {}).values()
        if record.get("output"):
            yield record["output"]


def _artifacts(store: Store, held: set[str]) -> Iterator[Garbage]:
    for place in _members(store.root / "artifacts"):
        if place.name not in held:
            yield Garbage(place, "artifact", _size(place))


def _keys(store: Store, held: set[str]) -> Iterator[Garbage]:
    for path in (store.root / "keys").rglob("*.json"):
        try:
            held_by = read_json(path).get("digest") in held
        except (StoreError, FileNotFoundError):
            held_by = False
        if not held_by:
            yield Garbage(path, "key", path.stat().st_size)


def _temporary(store: Store) -> Iterator[Garbage]:
    for place in _members(store.root / "tmp"):
        try:
            owner = read_json(place / "owner.json")
            gone = is_gone(int(owner["process"]), str(owner["mark"]))
        except (StoreError, FileNotFoundError, KeyError):
            # killed before it could say who it is; a folder that young may still be about to
            gone = time.time() - place.stat().st_mtime > 60
        if gone:
            yield Garbage(place, "unfinished", _size(place))


def _scratch(store: Store) -> Iterator[Garbage]:
    busy = {
        str(record.get("key"))
        for run in all_runs(store)
        if run.status in ("running", "killed", "interrupted", "failed")
        for record in run.document.get("steps", ())
    }
    for place in _members(store.root / "scratch"):
        if place.name not in busy:
            yield Garbage(place, "scratch", _size(place))


def _members(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def _size(place: Path) -> int:
    return sum(path.lstat().st_size for path in place.rglob("*") if path.is_file())


def _remove(path: Path) -> None:
    """A folder goes by one rename first, so that a kill half-way leaves no artifact with files missing."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if path.parent.name == "artifacts":
        doomed = path.parent.parent / "tmp" / f"gc.{path.name}"
        doomed.parent.mkdir(exist_ok=True)
        path = path.rename(doomed)
    shutil.rmtree(path, ignore_errors=True)
