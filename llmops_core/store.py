"""Artifacts by digest, and which key made which. A folder that many runs may share."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core import integrity
from llmops_core.artifacts import KINDS, Artifact
from llmops_core.content import content_digest, file_digest, file_sizes
from llmops_core.errors import StoreError
from llmops_core.files import create_json, locked, locked_folder, read_json, write_json
from llmops_core.keys import digest as digest_of
from llmops_core.migrate import Migration, migrate
from llmops_core.processes import process_mark

FORMAT = 1
STORE_MIGRATIONS: dict[int, Migration] = {}
SETTLED = 2 * 10**9
"""Nanoseconds after which a file's times tell whether it changed, on the coarsest file systems."""


@dataclass(frozen=True)
class Store:
    """A store rooted at `root`. Making this object reads and writes nothing."""

    root: Path

    # -- opening ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the store if there is none; migrate an older one. Raises StoreError for a newer one."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            create_json(self.root / "store.json", {"format": FORMAT})
            if not (self.root / ".gitignore").exists():
                (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
            changed = self.check_format()
            if changed is not None:
                write_json(self.root / "store.json", changed)
            (self.root / "tmp").mkdir(exist_ok=True)
            if not os.access(self.root / "tmp", os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise StoreError(
                f"cannot write the store {self.root}: {error.strerror}", remedy="Set store=FOLDER."
            ) from error

    def check_format(self) -> dict[str, Any] | None:
        """Raises StoreError when a newer release wrote this store. Writes nothing.

        Gives what store.json has to hold when an older one did.
        """
        try:
            document = read_json(self.root / "store.json")
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            raise StoreError(
                f"the store {self.root} is not a folder", remedy="Set store=FOLDER, --store or $LLMOPS_STORE."
            ) from None
        changed = migrate(document, FORMAT, STORE_MIGRATIONS, f"the store {self.root}")
        return changed if changed != document else None

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

    @contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """What an unfinished step of this key has kept, for this process alone.

        While another process has it, a folder that is not kept stands in for it.
        """
        folder = self.root / "scratch" / key
        with locked_folder(folder) as mine:
            if mine:
                try:
                    yield folder
                finally:
                    with suppress(OSError):
                        folder.rmdir()  # only when nothing was kept
                return
            stead = self.temporary("scratch")
            try:
                yield stead / "files"
            finally:
                shutil.rmtree(stead.parent, ignore_errors=True)

    def forget_scratch(self, key: str) -> None:
        """Remove what an unfinished step had kept, now that it has finished; not while another has it."""
        folder = self.root / "scratch" / key
        if folder.is_dir():
            with locked_folder(folder) as mine:
                if mine:
                    shutil.rmtree(folder, ignore_errors=True)

    def lock(self, *, shared: bool, wait: bool = True) -> Any:
        """Held shared while something is taken up for a run, alone while gc looks and removes."""
        return locked(self.root / "locks" / "store", shared=shared, wait=wait)

    def holds_of(self, run: str) -> Path:
        """The folder with a file for each artifact that a run made and may not have recorded yet."""
        return self.root / "holds" / run

    # -- artifacts -------------------------------------------------------------------------------

    def publish(self, artifact: Artifact, temporary: Path, run: str = "") -> Artifact:
        """Take in what a step wrote below `temporary`/files (or refers to); gives it with its digest.

        The same content is kept once: when it is there already, the new copy is dropped. As long as `run`
        is running, gc leaves the artifact alone. Raises StoreError for what cannot be stored.
        """
        place = self._taken_in(artifact, temporary)
        stamps = integrity.stamps(place)
        hashes = {name: file_digest(place / name) for name in stamps}
        content = {"kind": type(artifact).__name__, "facts": _facts(artifact), "files": hashes}
        name = digest_of(content)
        write_json(temporary / "artifact.json", {"format": integrity.FORMAT, **content})
        write_json(temporary / "where.json", {"folder": self._shown(place, temporary), "stamps": stamps})
        with self.lock(shared=True):
            self._place(temporary, name)
            if run:
                self.holds_of(run).mkdir(parents=True, exist_ok=True)
                (self.holds_of(run) / name).touch()
        shutil.rmtree(temporary.parent, ignore_errors=True)
        return self.open(name)

    def _taken_in(self, artifact: Artifact, temporary: Path) -> Path:
        """Where the files of an artifact lie: in `temporary`, or outside the store."""
        files, folder = temporary / "files", artifact.folder.resolve()
        if artifact.folder == Path() or folder == files.resolve():
            integrity.real_files(files)
            return files
        root = self.root.resolve()
        if any(folder.is_relative_to(root / passing) for passing in ("tmp", "scratch")):
            what = f"the artifact lies in {folder}, which does not last"
            raise StoreError(what, remedy="Return it with folder=run.folder.")
        if not folder.is_dir():
            raise StoreError(f"the artifact's folder {folder} is not there")
        shutil.rmtree(files)
        if folder.is_relative_to(root / "artifacts"):
            # gc may take that other artifact: this one has to stand on its own
            for name in file_sizes(folder):
                integrity.link_or_copy(folder / name, files / name)
            return files
        return folder

    def _shown(self, place: Path, temporary: Path) -> str:
        """Where files lie, as it is kept: relative within the store, so that a store may be moved."""
        if place == temporary / "files":
            return ""
        root = self.root.resolve()
        return str(place.relative_to(root) if place.is_relative_to(root) else place)

    def _place(self, temporary: Path, name: str) -> None:
        final = self.root / "artifacts" / name
        final.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            try:
                temporary.rename(final)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            if self.is_whole(name):
                return
            doomed = self.temporary("damaged")
            with suppress(FileNotFoundError):  # another process was first to move it away
                final.rename(doomed / "files" / name)
            shutil.rmtree(doomed.parent, ignore_errors=True)
        raise StoreError(f"{final} is damaged and cannot be replaced", remedy="Run: llmops store verify")

    def open(self, name: str) -> Artifact:
        """The artifact of that digest. Raises StoreError when it is not there."""
        kept = integrity.read(self.root, name)
        kind = KINDS.get(kept.kind)
        if kind is None:
            raise StoreError(f"the artifact {name[:12]} is a {kept.kind}, unknown to this release")
        known = {field.name for field in dataclasses.fields(kind)}
        facts = {field: self._thaw(value) for field, value in kept.facts.items() if field in known}
        return kind(folder=kept.place, digest=name, **facts)

    def _thaw(self, value: Any) -> Any:
        if integrity.is_reference(value):
            return self.open(value["artifact"])
        if isinstance(value, Mapping):
            return {name: self._thaw(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._thaw(member) for member in value]
        return value

    def holds(self, name: str) -> Iterator[str]:
        """This digest and those of every artifact inside it."""
        yield name
        try:
            kept = integrity.read(self.root, name)
        except StoreError:
            return
        for one in kept.inside():
            yield from self.holds(one)

    def is_whole(self, name: str) -> bool:
        """Whether an artifact and those inside it are there with every file's size and time as kept.

        A file whose time changed and whose size did not is hashed again.
        """
        return not any(integrity.broken(self.root, one, full=False) for one in self.holds(name))

    def damage(self, name: str) -> list[str]:
        """What is wrong with an artifact and those inside it, after hashing every file anew."""
        return [wrong for one in self.holds(name) for wrong in integrity.broken(self.root, one, full=True)]

    def verify(self) -> Iterator[tuple[str, list[str]]]:
        """Every artifact's digest with what is wrong with it, after hashing every file anew."""
        folder = self.root / "artifacts"
        for place in sorted(folder.iterdir()) if folder.is_dir() else ():
            yield place.name, integrity.broken(self.root, place.name, full=True)

    # -- keys ------------------------------------------------------------------------------------

    def lookup(self, stage: str, key: str) -> str:
        """The digest of what this key made, when it is whole; else an empty text."""
        entry = _key_record(self.root / "keys" / stage / f"{key}.json")
        name = str(entry["digest"]) if entry else ""
        return name if name and self.is_whole(name) else ""

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
        found = (_key_record(path) for path in files[:limit])
        return [entry for entry in found if entry is not None]

    def path_digest(self, path: str) -> str:
        """The digest of a file's or folder's content; remembered by size and times.

        Raises FetchError when it cannot be read.
        """
        place = Path(path).resolve()
        try:
            files = file_sizes(place) if place.is_dir() else [""]
            stamps = {name: integrity.precise_stamp(place / name) for name in files}
        except OSError:
            return content_digest(place)  # which says what is wrong
        memory = self.root / "digests" / f"{digest_of([str(place), stamps])}.json"
        try:
            return str(read_json(memory)["digest"])
        except (OSError, StoreError, KeyError, TypeError):
            found = content_digest(place)
        # what changed just now may change once more without its times telling: not remembered
        settled = all(time.time_ns() - stamp[2] > SETTLED for stamp in stamps.values())
        if settled and (self.root / "store.json").exists():
            with suppress(OSError):  # a store that may only be read forgets
                write_json(memory, {"digest": found})
        return found


def _key_record(path: Path) -> dict[str, Any] | None:
    """What is kept of a key, or None when it is absent or damaged: the step is then run again."""
    try:
        entry = read_json(path)
    except (FileNotFoundError, StoreError):
        return None
    wanted = {"key": str, "digest": str, "step": str, "run": str, "document": dict}
    sound = isinstance(entry, dict) and all(
        isinstance(entry.get(name), kind) for name, kind in wanted.items()
    )
    return entry if sound and entry["key"] == path.stem else None


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
        return integrity.reference(value.digest)
    if isinstance(value, Mapping) and not integrity.is_reference(value):
        return {str(key): _freeze(member, name) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_freeze(member, name) for member in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise StoreError(
        f"{name} holds a {type(value).__name__}, which cannot be stored", remedy="Give plain values."
    )
