"""Artifacts by digest, and which key made which. A folder that many runs may share."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core.artifacts import KINDS, Artifact
from llmops_core.content import content_digest, file_digest
from llmops_core.errors import StoreError
from llmops_core.files import create_json, locked, read_json, write_json
from llmops_core.keys import digest as digest_of
from llmops_core.migrate import Migration, migrate
from llmops_core.processes import process_mark

FORMAT = 1
STORE_MIGRATIONS: dict[int, Migration] = {}


@dataclass(frozen=True)
class Store:
    """A store rooted at `root`. Making this object reads and writes nothing."""

    root: Path

    # -- opening ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the store if there is none. Raises StoreError when a newer release wrote it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            create_json(self.root / "store.json", {"format": FORMAT})
            if not (self.root / ".gitignore").exists():
                (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"cannot write the store {self.root}: {error.strerror}", remedy="Set store=FOLDER."
            ) from error
        self.check_format()

    def check_format(self) -> None:
        """Raises StoreError when a newer release wrote this store; migrates an older one."""
        try:
            document = read_json(self.root / "store.json")
        except FileNotFoundError:
            return
        changed = migrate(document, FORMAT, STORE_MIGRATIONS, f"the store {self.root}")
        if changed != document:
            write_json(self.root / "store.json", changed)

    @property
    def downloads(self) -> Path:
        """Where fetched files are kept."""
        return self.root / "downloads"

    def temporary(self, label: str) -> Path:
        """A new folder with `files` in it, which gc takes once this process is gone."""
        folder = self.root / "tmp" / f"{label}.{uuid.uuid4().hex[:12]}"
        (folder / "artifact" / "files").mkdir(parents=True)
        write_json(folder / "owner.json", {"process": os.getpid(), "mark": process_mark(os.getpid())})
        return folder / "artifact"

    def scratch(self, key: str) -> Path:
        """What an unfinished step of this key has kept; made when absent."""
        folder = self.root / "scratch" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget_scratch(self, key: str) -> None:
        """Remove what an unfinished step had kept, now that it has finished."""
        shutil.rmtree(self.root / "scratch" / key, ignore_errors=True)

    def lock(self, *, shared: bool, wait: bool = True) -> Any:
        """Held shared while something is taken up for a run, alone while gc looks and removes."""
        return locked(self.root / "locks" / "store", shared=shared, wait=wait)

    # -- artifacts -------------------------------------------------------------------------------

    def publish(self, artifact: Artifact, temporary: Path) -> Artifact:
        """Take in what a step wrote below `temporary`/files (or refers to); gives it with its digest.

        The same content is kept once: when it is there already, the new copy is dropped.
        """
        inside = artifact.folder == temporary / "files"
        files = {} if artifact.folder == Path() else _files(artifact.folder)
        hashes = {name: file_digest(artifact.folder / name) for name in files}
        facts = _facts(artifact)
        kind = type(artifact).__name__
        name = digest_of({"kind": kind, "facts": facts, "files": hashes})
        record = {"format": FORMAT, "kind": kind, "facts": facts, "files": hashes}
        where = {"folder": "" if inside else str(artifact.folder.resolve()), "stamps": files}
        write_json(temporary / "artifact.json", record)
        write_json(temporary / "where.json", where)
        with self.lock(shared=True):
            self._place(temporary, name)
        shutil.rmtree(temporary.parent, ignore_errors=True)
        return self.open(name)

    def _place(self, temporary: Path, name: str) -> None:
        final = self.root / "artifacts" / name
        final.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            try:
                temporary.rename(final)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if self.is_whole(name):
                return
            final.rename(self.temporary("damaged") / "files" / name)
        raise StoreError(f"{final} is damaged and cannot be replaced", remedy="Run: llmops store verify")

    def open(self, name: str) -> Artifact:
        """The artifact of that digest. Raises StoreError when it is not there."""
        folder = self.root / "artifacts" / name
        try:
            record = read_json(folder / "artifact.json")
            where = read_json(folder / "where.json")
        except FileNotFoundError:
            raise StoreError(
                f"the store has no artifact {name[:12]}", remedy="Run the recipe again."
            ) from None
        migrate(record, FORMAT, STORE_MIGRATIONS, f"the artifact {name[:12]}")
        kind = KINDS.get(record["kind"])
        if kind is None:
            raise StoreError(f"the artifact {name[:12]} is a {record['kind']}, unknown to this release")
        place = Path(where["folder"]) if where["folder"] else folder / "files"
        known = {field.name for field in dataclasses.fields(kind)}
        facts = {field: self._thaw(value) for field, value in record["facts"].items() if field in known}
        return kind(folder=place, digest=name, **facts)

    def _thaw(self, value: Any) -> Any:
        if isinstance(value, Mapping) and set(value) == {"artifact"}:
            return self.open(value["artifact"])
        if isinstance(value, Mapping):
            return {name: self._thaw(member) for name, member in value.items()}
        return value

    def holds(self, name: str) -> Iterator[str]:
        """This digest and those of every artifact inside it."""
        yield name
        try:
            record = read_json(self.root / "artifacts" / name / "artifact.json")
        except (FileNotFoundError, StoreError):
            return
        for value in record["facts"].values():
            if isinstance(value, Mapping) and set(value) == {"artifact"}:
                yield from self.holds(value["artifact"])

    def is_whole(self, name: str) -> bool:
        """Whether an artifact and those inside it are there with every file's size and time as kept.

        A file whose time changed and whose size did not is hashed again.
        """
        return all(not self._broken(one, full=False) for one in self.holds(name))

    def damage(self, name: str) -> list[str]:
        """What is wrong with an artifact and those inside it, after hashing every file anew."""
        return [wrong for one in self.holds(name) for wrong in self._broken(one, full=True)]

    def verify(self) -> Iterator[tuple[str, list[str]]]:
        """Every artifact's digest with what is wrong with it, after hashing every file anew."""
        folder = self.root / "artifacts"
        for place in sorted(folder.iterdir()) if folder.is_dir() else ():
            yield place.name, self._broken(place.name, full=True)

    def _broken(self, name: str, *, full: bool) -> list[str]:
        folder = self.root / "artifacts" / name
        try:
            record, where = read_json(folder / "artifact.json"), read_json(folder / "where.json")
        except (FileNotFoundError, StoreError) as error:
            return [f"its record cannot be read: {error}"]
        place = Path(where["folder"]) if where["folder"] else folder / "files"
        wrong = []
        if full and digest_of({key: record[key] for key in ("kind", "facts", "files")}) != name:
            wrong.append("its record was changed")
        moved = {}
        for file, kept in where["stamps"].items():
            try:
                now = _stamp(place / file)
            except OSError:
                wrong.append(f"{place / file} is missing")
                continue
            if now[0] != kept[0]:
                wrong.append(f"{place / file} has {now[0]} bytes, not {kept[0]}")
            elif full or now != kept:
                if file_digest(place / file) != record["files"][file]:
                    wrong.append(f"{place / file} was changed")
                elif now != kept:
                    moved[file] = now
        if moved and not wrong:
            write_json(folder / "where.json", {**where, "stamps": {**where["stamps"], **moved}})
        return wrong

    # -- keys ------------------------------------------------------------------------------------

    def lookup(self, stage: str, key: str) -> str:
        """The digest of what this key made, when it is whole; else an empty text."""
        try:
            name: str = read_json(self.root / "keys" / stage / f"{key}.json")["digest"]
        except (FileNotFoundError, StoreError, KeyError):
            return ""
        return name if self.is_whole(name) else ""

    def record(self, stage: str, key: str, entry: Mapping[str, Any]) -> str:
        """Keep that `key` made entry["digest"]. The first to publish wins: gives the digest that holds."""
        path = self.root / "keys" / stage / f"{key}.json"
        if create_json(path, entry):
            return str(entry["digest"])
        other = self.lookup(stage, key)
        if other:
            return other
        write_json(path, entry)
        return str(entry["digest"])

    def recent(self, stage: str, limit: int = 40) -> list[dict[str, Any]]:
        """The newest key records of a stage, newest first."""
        folder = self.root / "keys" / stage
        files = list(folder.glob("*.json")) if folder.is_dir() else []
        files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        found = []
        for path in files[:limit]:
            try:
                found.append(read_json(path))
            except (FileNotFoundError, StoreError):
                continue
        return found

    def path_digest(self, path: str) -> str:
        """The digest of a file's or folder's content; remembered by size and time."""
        place = Path(path)
        stamps = _files(place) if place.is_dir() else {"": _stamp(place)}
        memory = self.root / "digests" / f"{digest_of([path, stamps])}.json"
        try:
            return str(read_json(memory)["digest"])
        except (FileNotFoundError, StoreError):
            found = content_digest(place)
        if (self.root / "store.json").exists():
            write_json(memory, {"digest": found})
        return found


def _files(folder: Path) -> dict[str, list[int]]:
    """Every file below a folder with its size and time; links are followed only to files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = _stamp(path)
    return found


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _facts(artifact: Artifact) -> dict[str, Any]:
    facts = {}
    for field in dataclasses.fields(artifact):
        if field.name not in ("folder", "digest"):
            facts[field.name] = _freeze(getattr(artifact, field.name), field.name)
    return facts


def _freeze(value: Any, name: str) -> Any:
    if isinstance(value, Artifact):
        if not value.digest:
            raise StoreError(f"{name} holds a {type(value).__name__} that was never stored")
        return {"artifact": value.digest}
    if isinstance(value, Mapping):
        return {str(key): _freeze(member, name) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_freeze(member, name) for member in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise StoreError(
        f"{name} holds a {type(value).__name__}, which cannot be stored", remedy="Give plain values."
    )
