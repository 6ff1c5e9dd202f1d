"""What has been fetched: whole or not there at all, whoever else fetches it and whenever it is killed.

An arrival is a folder CACHE/KEY with the files (or the place where they lie) and a record of their
sizes. It is written under another name and renamed, so a folder of the right name is always whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from llmops_core.address import Address
from llmops_core.errors import FetchError, OfflineError

FORMAT = 1
RECORD = "record.json"
FILES = "files"
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Request:
    """One call of `fetch`. `sha256` may be ""; `tell` takes bytes done and in all (0: unknown).

    `options` are what fsspec's file system for the address is opened with, secrets' values among them.
    """

    address: Address
    sha256: str
    cache: Path
    offline: bool
    token: str
    tell: Callable[[int, int], None]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Brought:
    """What a scheme brought: sizes by name, and where the files lie if not in partial/files.

    `versions` are the store's own marks of what was read (an object's version, its ETag), where it has any.
    """

    sizes: Mapping[str, int]
    place: Path | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


Bring = Callable[[Request, Path], Brought]


def arrived(cache: Path, key: str) -> Path | None:
    """The folder of files that arrived under a key, when every one of them still has its size."""
    try:
        record = json.loads((cache / key / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            return None
        place = Path(record["place"]) if record["place"] else cache / key / FILES
        whole = all((place / name).stat().st_size == size for name, size in record["sizes"].items())
    except (OSError, ValueError, KeyError, TypeError):
        # Whatever is wrong with it, it is not a whole arrival, and will be fetched again.
        return None
    return place if whole else None


def once(request: Request, key: str, bring: Bring) -> Path:
    """The folder of files under a key: as it arrived before, else brought now by `bring`.

    `bring(request, partial)` writes into partial/files. Raises OfflineError, FetchError.
    """
    if place := arrived(request.cache, key):
        return place
    if request.offline:
        raise not_offline(request, damaged=(request.cache / key).exists())
    with telling_full(request, request.cache):
        request.cache.mkdir(parents=True, exist_ok=True)
        with _alone(request.cache, key) as alone:
            return arrived(request.cache, key) or _bring(request, key, bring, alone)


def _bring(request: Request, key: str, bring: Bring, alone: bool) -> Path:
    if alone:
        # Nobody else is fetching this, so these were left by a process that was killed.
        for leftover in request.cache.glob(f".{key}.*.partial"):
            shutil.rmtree(leftover, ignore_errors=True)
    partial = _partial(request.cache, key)
    try:
        (partial / FILES).mkdir()
        brought = bring(request, partial)
        publish(request, key, partial, brought)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    place = arrived(request.cache, key)
    if place is None:
        raise FetchError(
            f"arrived, but does not lie whole in {request.cache / key}",
            where=request.address.text,
            remedy="Is something else writing there?",
        )
    return place


def publish(request: Request, key: str, partial: Path, brought: Brought) -> None:
    """Give a partial folder its final name; an equal one that came first is adopted."""
    record = {
        "format": FORMAT,
        "address": request.address.text,
        "place": str(brought.place) if brought.place else "",
        "sizes": dict(brought.sizes),
        **({"versions": dict(brought.versions)} if brought.versions else {}),
    }
    (partial / RECORD).write_text(json.dumps(record), encoding="utf-8")
    for entry in partial.iterdir():
        if entry.name not in (RECORD, FILES):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    final = request.cache / key
    if final.exists() and arrived(request.cache, key) is None:
        damaged = _partial(request.cache, key)
        final.replace(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        partial.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _partial(cache: Path, key: str) -> Path:
    """A new folder that nobody trusts; unlike tempfile's, those who share the cache may read it."""
    partial = cache / f".{key}.{secrets.token_hex(8)}.partial"
    partial.mkdir()
    return partial


@contextlib.contextmanager
def _alone(cache: Path, key: str) -> Iterator[bool]:
    """Hold a key's lock, which the system frees when the process dies; False where locks do not work."""
    import fcntl

    with (cache / f".{key}.lock").open("a") as lock:
        yield _locked(fcntl.flock, lock, fcntl.LOCK_EX)


def _locked(flock: Callable[[int, int], None], lock: IO[str], how: int) -> bool:
    try:
        flock(lock.fileno(), how)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
            raise
        return False  # Still safe by the rename; only the work may be done twice.
    return True


def not_offline(request: Request, damaged: bool = False) -> OfflineError:
    """The error for something that is not here while the network is forbidden."""
    state = "is damaged" if damaged else "has not been fetched yet"
    return OfflineError(
        f"{state}, and LLMOPS_OFFLINE forbids the network",
        where=request.address.text,
        remedy="Run once without LLMOPS_OFFLINE, or name a local copy with file:PATH.",
    )


def wrong_digest(request: Request, got: str) -> FetchError:
    """The error for what arrived with another digest, or was asked for without one."""
    if not request.sha256:
        return FetchError(
            "has no sha256 beside it, so nothing says that it is what it was",
            where=request.address.text,
            remedy=f"If you trust what lies there now, write sha256: {got}",
        )
    return FetchError(
        f"arrived with another sha256: expected {request.sha256}, got {got}; nothing was kept",
        where=request.address.text,
        remedy="If the address was changed on purpose, write the new digest; else do not trust the source.",
    )


def make_sure_of_room(request: Request, folder: Path, needed: int) -> None:
    """Raise FetchError when the disk of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise _full(request, folder, f"it needs {megabytes(needed)}, and {megabytes(free)} are free")


@contextlib.contextmanager
def telling_full(request: Request, folder: Path, needed: int = 0) -> Iterator[None]:
    """Turn the system's errors about the disk of `folder` into a FetchError that says what is needed."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            why = f"it needs {megabytes(needed)}" if needed else "how much it needs is not known before"
            raise _full(request, folder, why) from error
        if error.filename is None:
            raise
        raise FetchError(
            f"cannot write {error.filename}: {error.strerror}",
            where=request.address.text,
            remedy="Make the folder writable, or choose another store.",
        ) from error


def _full(request: Request, folder: Path, why: str) -> FetchError:
    return FetchError(
        f"no space left on the disk of {folder}: {why}",
        where=request.address.text,
        remedy="Free some space (llmops store gc), or choose a store on another disk.",
    )


def megabytes(count: int) -> str:
    """A number of bytes for a person."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):,.1f} MB"
