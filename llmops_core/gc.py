"""Removes what nothing holds. Never what a running run, a release, a deployment or a tag holds."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llmops_core.errors import StoreError
from llmops_core.files import locked_folder, read_json
from llmops_core.journal import Journal
from llmops_core.manifest import Manifest, all_runs
from llmops_core.processes import is_gone
from llmops_core.releases import all_releases
from llmops_core.store import Store

CACHED = 14 * 24 * 3600
"""Seconds that what steps kept for later runs stays after its last use."""


@dataclass(frozen=True)
class Garbage:
    """Something that nothing holds: where it lies, what it is, and its size in bytes."""

    path: Path
    what: str
    size: int


def collect(store: Store, *, keep_latest: bool = True, dry_run: bool = False) -> list[Garbage]:
    """Remove (or with `dry_run` only list) everything that nothing holds.

    `keep_latest` also keeps what the latest finished run of each recipe used, and the unfinished ones
    after it, so that running it again goes on from there.
    """
    if not store.root.is_dir():
        return []
    aside = store.root / "tmp" / f"gc.{uuid.uuid4().hex[:12]}"
    with store.lock(shared=False):
        kept = kept_runs(store, keep_latest=keep_latest)
        held = holding(store, kept)
        found = [*_artifacts(store, held), *_keys(store, held), *_temporary(store), *_holds(store, kept)]
        found += _scratch(store, kept)
        if not any(run.status == "running" for run in kept):
            found += _cached(store, CACHED if keep_latest else 0)
        for garbage in () if dry_run else found:
            if garbage.what == "scratch":
                _put_aside_unless_held(garbage.path, aside)
            else:
                _put_aside(garbage.path, aside)
    # outside the lock: no run has to wait while gigabytes are removed
    shutil.rmtree(aside, ignore_errors=True)
    return [garbage for garbage in found if garbage.what != "hold"]


def kept_runs(store: Store, *, keep_latest: bool) -> list[Manifest]:
    """The runs whose artifacts stay. Raises StoreError when a record cannot be read."""
    kept, finished = [], set()
    for run in all_runs(store):
        if run.status == "damaged":
            raise StoreError(
                f"what run {run.id} holds is not known: {run.document['error']['what']}",
                remedy=f"Upgrade llmops, or remove its record: llmops runs rm {run.id}",
            )
        # a run of a part of a recipe's steps must not let go of what the whole one made
        steps = [record.get("name") for record in run.document.get("steps", ())]
        recipe = (run.document.get("recipe_path") or run.document.get("recipe"), *steps)
        latest = keep_latest and recipe not in finished
        if run.status == "done":
            finished.add(recipe)
        if run.status == "running" or run.document.get("tags") or latest:
            kept.append(run)
    return kept


def holding(store: Store, kept: Iterable[Manifest]) -> set[str]:
    """The digest of every artifact that a release, a deployment or one of these runs holds."""
    roots = {release.digest for release in all_releases(store)}
    for deployment in Journal(store.root, lambda text: None).history():
        roots.add(deployment.digest)
    # a tag (tags/NAME.json) names a dataset that somebody relies on
    roots |= {str(read_json(place)["digest"]) for place in (store.root / "tags").glob("[!.]*.json")}
    for run in kept:
        roots |= set(digests(run))
        if run.status == "running":
            roots |= {place.name for place in _members(store.holds_of(run.id))}
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
            held_by = read_json(path)["digest"] in held
        except (StoreError, FileNotFoundError, KeyError, TypeError):
            held_by = False
        if not held_by:
            yield Garbage(path, "key", path.lstat().st_size)


def _temporary(store: Store) -> Iterator[Garbage]:
    for place in _members(store.root / "tmp"):
        try:
            owner = read_json(place / "owner.json")
            gone = is_gone(int(owner["process"]), str(owner["mark"]))
        except (StoreError, OSError, KeyError, TypeError, ValueError):
            # killed before it could say who it is; a folder that young may still be about to
            gone = place.exists() and time.time() - place.stat().st_mtime > 60
        if gone:
            yield Garbage(place, "unfinished", _size(place))


def _holds(store: Store, kept: Iterable[Manifest]) -> Iterator[Garbage]:
    running = {run.id for run in kept if run.status == "running"}
    for place in _members(store.root / "holds"):
        if place.name not in running:
            yield Garbage(place, "hold", 0)


def _cached(store: Store, seconds: float) -> Iterator[Garbage]:
    """What steps kept for later runs and nobody used for so long: it can be made again."""
    for place in (one for area in _members(store.root / "cache") for one in _members(area)):
        try:
            used = (place / "entry.json").stat().st_mtime
        except FileNotFoundError:
            used = 0.0
        if time.time() - used > seconds:
            yield Garbage(place, "cache", _size(place))


def _scratch(store: Store, kept: Iterable[Manifest]) -> Iterator[Garbage]:
    busy = {str(record.get("key")) for run in kept for record in run.document.get("steps", ())}
    for deployment in Journal(store.root, lambda text: None).history():
        if deployment.live:
            busy.add(str((deployment.how.get("step") or {}).get("key")))
    for place in _members(store.root / "scratch"):
        if place.name not in busy:
            with locked_folder(place) as mine:
                if mine:
                    yield Garbage(place, "scratch", _size(place))


def _members(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def _size(place: Path) -> int:
    return sum(path.lstat().st_size for path in place.rglob("*") if path.is_file())


def _put_aside_unless_held(path: Path, aside: Path) -> None:
    """A step may have taken its scratch up since it was found: that is under the folder's own lock alone."""
    with locked_folder(path) as mine:
        if mine:
            _put_aside(path, aside)


def _put_aside(path: Path, aside: Path) -> None:
    """Out of the way by one rename, so that a kill half-way leaves no artifact with files missing."""
    if path.is_dir():
        aside.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # its owner was quicker
            path.rename(aside / f"{path.parent.name}.{path.name}")
    else:
        path.unlink(missing_ok=True)
