"""Digests of files and folders by their content alone: no times, no owners, no place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from llmops_core.errors import FetchError

BLOCK = 1 << 20


def file_digest(path: Path, seen: Callable[[int], None] | None = None) -> str:
    """The sha256 of a file's bytes in hex; `seen` is told the size of each block read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            if seen is not None:
                seen(len(block))
    return digest.hexdigest()


def content_digest(path: Path) -> str:
    """The digest of a file (its sha256) or of a folder (one sha256 over names and digests), in hex.

    A folder's is the sha256 of one line "DIGEST  RELATIVE/PATH" a file, sorted by the path's bytes:
        find -L . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
    Links are followed; empty folders do not count. Raises FetchError when something cannot be read.
    """
    try:
        if path.is_dir():
            return lines_digest({name: file_digest(path / name) for name in file_sizes(path)})
        return file_digest(path)
    except OSError as error:
        raise FetchError(
            f"cannot be read: {error.strerror}", where=str(error.filename or path), remedy="Check the path."
        ) from error


def lines_digest(digests: dict[str, str]) -> str:
    """The digest of a folder whose files, by path relative to it, have these digests."""
    digest = hashlib.sha256()
    for name in sorted(digests, key=os.fsencode):
        digest.update(f"{digests[name]}  ".encode() + os.fsencode(name) + b"\n")
    return digest.hexdigest()


def file_sizes(folder: Path) -> dict[str, int]:
    """The size in bytes of every file under a folder, by its path relative to it, in order."""
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
    return dict(sorted(sizes.items(), key=lambda item: os.fsencode(item[0])))


def _files(folder: Path) -> Iterator[Path]:
    seen = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        for name in folders:
            link = Path(place, name)
            target = os.path.realpath(link)
            if target in seen and link.is_symlink():
                raise FetchError(f"the link {name} leads round in a circle", where=place, remedy="Remove it.")
            seen.add(target)
        yield from (Path(place, name) for name in files)


def _raise(error: OSError) -> None:
    raise error
