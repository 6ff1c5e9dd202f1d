"""The record of a run: written as the run goes, read by everything that asks what did run."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Artifact
from llmops_core.errors import StoreError, UsageError
from llmops_core.files import finite, read_json, write_json
from llmops_core.migrate import Migration, migrate
from llmops_core.processes import is_gone, process_mark
from llmops_core.secrets import Secrets
from llmops_core.store import Store

FORMAT = 1
MANIFEST_MIGRATIONS: dict[int, Migration] = {}
STRUCTURE = ("format", "id", "status", "started", "ended", "process")
STEP_STRUCTURE = ("name", "stage", "use", "status", "action", "key", "inputs", "output")


def now() -> str:
    """This moment in UTC, to the second, as records hold it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Manifest:
    """A run's record in its folder. `document` is the JSON; `save` writes it, with secrets taken out."""

    folder: Path
    document: dict[str, Any]
    store: Store
    secrets: Secrets = field(default_factory=Secrets)
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What plugins keep from one event of the run to the next, each under its name; never written."""

    @property
    def id(self) -> str:
        """The run's number in its store."""
        return str(self.document["id"])

    @property
    def status(self) -> str:
        """Like document["status"], but "killed" for a run whose process is gone."""
        status = str(self.document.get("status", "running"))
        process = self.document.get("process") or {}
        if status == "running" and is_gone(int(process.get("id", 0)), str(process.get("mark", ""))):
            return "killed"
        return status

    def step(self, name: str) -> dict[str, Any]:
        """A step's record; raises KeyError."""
        for record in self.document["steps"]:
            if record["name"] == name:
                return record  # type: ignore[no-any-return]
        raise KeyError(name)

    def artifact(self, digest: str) -> Artifact:
        """An artifact that this run made or used. Raises StoreError when it is gone."""
        return self.store.open(digest)

    def save(self) -> None:
        """Write the record, atomically."""
        write_json(self.folder / "manifest.json", finite(self.shown()))

    def shown(self) -> dict[str, Any]:
        """The record without secrets. What the store itself goes by (digests, states) is left as it is."""
        if not self.secrets.seen:
            return self.document
        found: dict[str, Any] = self.secrets.redact(self.document)
        found |= {name: self.document[name] for name in STRUCTURE if name in self.document}
        for record, whole in zip(found.get("steps", ()), self.document.get("steps", ()), strict=True):
            record |= {name: whole[name] for name in STEP_STRUCTURE if name in whole}
        return found


def runs_folder(store: Store) -> Path:
    """Where the records of a store's runs lie."""
    return store.root / "runs"


def new_run(store: Store, document: Mapping[str, Any], secrets: Secrets) -> Manifest:
    """Take the next number, and write the record of a run that begins now."""
    folder = runs_folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    number = max([_last_removed(store), *_numbers(store)]) + 1
    while True:
        try:
            (folder / str(number)).mkdir()
            break
        except FileExistsError:
            number += 1
    head = {
        "format": FORMAT,
        "id": str(number),
        "status": "running",
        "started": now(),
        "ended": None,
        "process": {"id": os.getpid(), "mark": process_mark(os.getpid())},
        "error": None,
    }
    manifest = Manifest(folder / str(number), {**head, **document}, store, secrets)
    manifest.save()
    return manifest


def read_run(store: Store, run: str) -> Manifest:
    """The record of a run by number or name, or of the "latest". Raises UsageError when there is none."""
    folder = runs_folder(store)
    if run == "latest" and (newest := all_runs(store, 1)):
        return newest[0]
    if re.fullmatch(r"\d+", run) and (folder / run / "manifest.json").is_file():
        return _read(folder / run, store)
    named = [one for one in all_runs(store) if one.document.get("name") == run]
    if named:
        return named[0]
    raise UsageError(f"there is no run {run} in {store.root}", remedy="See: llmops runs")


def all_runs(store: Store, limit: int | None = None) -> list[Manifest]:
    """Every run's record, newest first; a record that cannot be read stands with status "damaged"."""
    folder = runs_folder(store)
    found = []
    for number in sorted(_numbers(store), reverse=True)[:limit]:
        try:
            found.append(_read(folder / str(number), store))
        except FileNotFoundError:
            continue  # killed between taking its number and writing its record
        except StoreError as error:
            damaged = {"id": str(number), "status": "damaged", "steps": [], "error": {"what": str(error)}}
            found.append(Manifest(folder / str(number), damaged, store))
    return found


def _numbers(store: Store) -> list[int]:
    folder = runs_folder(store)
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []


def _last_removed(store: Store) -> int:
    try:
        return int(read_json(runs_folder(store) / "removed.json")["last"])
    except (FileNotFoundError, StoreError, KeyError, TypeError, ValueError):
        return 0


def _read(folder: Path, store: Store) -> Manifest:
    what = f"the record of run {folder.name}"
    document = read_json(folder / "manifest.json")
    if not isinstance(document, dict) or not isinstance(document.get("steps"), list):
        raise StoreError(f"{what} is damaged", remedy=f"Remove it: llmops runs rm {folder.name}")
    return Manifest(folder, migrate(document, FORMAT, MANIFEST_MIGRATIONS, what), store)


def remove_run(store: Store, run: str, *, force: bool = False) -> str:
    """Delete a run's record, damaged or not; gives its number, which no other run is given.

    Raises UsageError when there is none, and, unless forced, while it runs.
    """
    found = next((one for one in all_runs(store) if one.id == run), None) or read_run(store, run)
    if found.status == "running" and not force:
        remedy = "Stop it first. If it ran on a machine that is gone: llmops runs rm --force."
        raise UsageError(f"run {found.id} is running", remedy=remedy)
    last = max(_last_removed(store), int(found.id))
    write_json(runs_folder(store) / "removed.json", {"last": last})
    shutil.rmtree(found.folder)
    return found.id


@cache
def machine() -> dict[str, Any]:
    """What this machine is. Names no host."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": memory,
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of the repository a recipe lies in, and whether something is not committed."""
    try:
        # one call, and none of the untracked files looked at: a big folder would take seconds
        command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not commits or commits[0] == "(initial)":
        return None
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)}


def package_versions() -> dict[str, str]:
    """Every installed distribution with its version, read from folder names alone."""
    found: dict[str, str] = {}
    for place in sys.path:
        try:
            names = [path.name for path in Path(place or ".").iterdir()]
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                distribution, _, version = name[: -len(".dist-info")].partition("-")
                found.setdefault(distribution.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))
