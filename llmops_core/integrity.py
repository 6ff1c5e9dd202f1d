"""Whether an artifact in a store is still what was put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core.content import file_digest, file_sizes
from llmops_core.errors import StoreError
from llmops_core.files import read_json, write_json
from llmops_core.keys import digest as digest_of
from llmops_core.migrate import Migration, migrate

FORMAT = 1
ARTIFACT_MIGRATIONS: dict[int, Migration] = {}


@dataclass(frozen=True)
class Kept:
    """An artifact as a store keeps it: what it is, where its files lie, their digests, sizes and times."""

    kind: str
    facts: Mapping[str, Any]
    files: Mapping[str, str]
    place: Path
    stamps: Mapping[str, list[int]]

    def inside(self) -> Iterator[str]:
        """The digests of the artifacts that its facts hold."""
        yield from _references(self.facts)


def read(root: Path, name: str) -> Kept:
    """The record of the artifact with digest `name`. Raises StoreError when absent, damaged or newer."""
    folder = root / "artifacts" / name
    try:
        record, where = read_json(folder / "artifact.json"), read_json(folder / "where.json")
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"the store has no artifact {name[:12]}", remedy="Run the recipe again.") from None
    try:
        content = {part: record[part] for part in ("kind", "facts", "files")}
        record = migrate(record, FORMAT, ARTIFACT_MIGRATIONS, f"the artifact {name[:12]}")
        place, stamps = root / where["folder"] if where["folder"] else folder / "files", where["stamps"]
        sound = digest_of(content) == name and set(stamps) == set(content["files"])
        sound = sound and all(len(stamp) == 2 for stamp in stamps.values())
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise StoreError(f"the record of artifact {name[:12]} was changed", remedy="Run the recipe again.")
    return Kept(record["kind"], record["facts"], record["files"], place, stamps)


def broken(root: Path, name: str, *, full: bool) -> list[str]:
    """What is wrong with one artifact, those inside it left out.

    Sizes and times are compared; a file whose time changed and whose size did not is hashed again, and
    with `full` every file is.
    """
    try:
        kept = read(root, name)
    except StoreError as error:
        return [error.problem.what]
    wrong, moved = [], {}
    for file, before in kept.stamps.items():
        path = kept.place / file
        try:
            now = stamp(path)
            if now[0] != before[0]:
                wrong.append(f"{path} has {now[0]} bytes, not {before[0]}")
            elif (full or now != before) and file_digest(path) != kept.files[file]:
                wrong.append(f"{path} was changed")
            elif now != before:
                moved[file] = now
        except FileNotFoundError:
            wrong.append(f"{path} is missing")
        except (OSError, ValueError) as error:
            wrong.append(f"{path} cannot be read: {error}")
    if moved and not wrong:
        _restamp(root / "artifacts" / name / "where.json", moved)
    return wrong


def _restamp(path: Path, moved: Mapping[str, list[int]]) -> None:
    """Note that files with new times were found to be as they were, so that they are not hashed each time."""
    try:
        where = read_json(path)
        write_json(path, {**where, "stamps": {**where["stamps"], **moved}})
    except OSError:
        return  # a store that may only be read: they are hashed again next time


def stamps(folder: Path) -> dict[str, list[int]]:
    """Every file below a folder, links followed, with its size and time."""
    return {name: stamp(folder / name) for name in file_sizes(folder)}


def stamp(path: Path) -> list[int]:
    """A file's size in bytes and its time in nanoseconds. Raises OSError, StoreError for what is no file."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is not a regular file", remedy="Only regular files can be stored.")
    return [found.st_size, found.st_mtime_ns]


def precise_stamp(path: Path) -> list[int]:
    """Like `stamp`, with the time of the file's last change of any kind and which file it is."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def reference(digest: str) -> dict[str, str]:
    """How an artifact inside another one's facts is written."""
    return {"artifact": digest}


def is_reference(value: Any) -> bool:
    """Whether a fact stands for an artifact."""
    return (
        isinstance(value, Mapping)
        and set(value) == {"artifact"}
        and isinstance(value["artifact"], str)
        and len(value["artifact"]) == 64
        and set(value["artifact"]) <= set("0123456789abcdef")
    )


def _references(value: Any) -> Iterator[str]:
    if is_reference(value):
        yield value["artifact"]
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def real_files(folder: Path) -> None:
    """Replace links to files below a folder by what they lead to. Raises StoreError for a linked folder."""
    for place, folders, files in os.walk(folder):
        for name in folders:
            if (Path(place) / name).is_symlink():
                what = f"{name} in the artifact's folder is a link to a folder"
                raise StoreError(what, remedy="Copy the folder, or return an artifact that refers to it.")
        for name in files:
            path = Path(place) / name
            if path.is_symlink():
                copy = path.with_name(f".{name}.copy")
                link_or_copy(path.resolve(), copy)
                copy.replace(path)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be done."""
    import shutil

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
