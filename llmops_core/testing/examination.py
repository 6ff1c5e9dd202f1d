"""The examination of one installed plugin: what its checks share, each thing done once."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from llmops_core.check import chosen
from llmops_core.entry_points import PLUGINS, EntryPoint, entry_points
from llmops_core.errors import UsageError
from llmops_core.files import read_json, write_json
from llmops_core.hookspecs import Implementation
from llmops_core.locate import did_you_mean
from llmops_core.plugins import Plugins, load
from llmops_core.stages import BY_NAME
from llmops_core.testing.attempts import (
    SEED,
    Attempt,
    Attempts,
    child_environment,
    run_limited,
    with_secrets,
)
from llmops_core.testing.examples import Given, Trial, Unfit, trial
from llmops_core.testing.findings import NothingToCheck
from llmops_core.testing.material import Material
from llmops_core.testing.values import varied
from llmops_core.typed import plain

TIME_LIMIT = 120.0
"""Seconds that one process of the examination may take."""


@dataclass(frozen=True)
class Tried:
    """What came of trying an implementation."""

    trial: Trial
    """Where the step ran whole."""
    first: Attempt
    second: Trial
    """The same in another store, where it was killed and run again."""
    killed: Attempt | None = None
    again: Attempt | None = None
    left: tuple[str, ...] = ()
    """Artifacts that were in the store after the kill, beside the inputs."""
    undone: Attempt | None = None
    remains: str = ""
    """What was still there after the release of a live thing."""


@dataclass
class Examination:
    """Looks at the entry points of one plugin; writes below `folder` only."""

    points: Sequence[EntryPoint]
    folder: Path
    time_limit: float = TIME_LIMIT
    runs: bool = True
    """False: nothing is run, only looked at."""
    given: Given | None = None
    """Examples that stand in for the plugin's own."""
    _lights: dict[str, dict[str, Any]] = field(default_factory=dict)
    _tried: dict[str, Tried | Unfit] = field(default_factory=dict)
    causes: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """What was found out about outputs that differ, by implementation."""
    _count: int = 0

    @cached_property
    def plugins(self) -> Plugins:
        """Every installed plugin. Raises NothingToCheck when this one does not let itself be imported."""
        for point in self.points:
            if error := self.light(point)["error"]:
                raise NothingToCheck(f"{point.name} cannot be imported: {error}")
        return load()

    @property
    def implementations(self) -> list[Implementation]:
        """What the plugin offers."""
        owners = self.plugins.owners
        return [one for key, one in self.plugins.implementations.items() if owners[key] in self.points]

    def modules(self) -> Iterator[tuple[EntryPoint, Any]]:
        """The plugin's modules that were taken in."""
        yield from ((point, module) for point, module in self.plugins.loaded if point in self.points)

    def light(self, point: EntryPoint) -> dict[str, Any]:
        """The report of importing a plugin's light face in a fresh process; a slow one is tried again.

        {"error", "ms", "foreign", "stdout"}
        """
        if point.name not in self._lights:
            best = self._import(point)
            if not best["error"] and best["ms"] > 15:  # the first time, Python may have had to compile
                best = min((best, self._import(point)), key=lambda one: float(one.get("ms", 1e9)))
            self._lights[point.name] = best
        return self._lights[point.name]

    def tried(self, implementation: Implementation) -> Tried:
        """Run an implementation whole, killed, and again. Raises NothingToCheck, Unfit."""
        if not self.runs:
            raise NothingToCheck("nothing was run")
        name = f"{implementation.group}={implementation.name}"
        if name not in self._tried:
            try:
                self._tried[name] = self._try(implementation)
            except Unfit as reason:
                self._tried[name] = reason
        found = self._tried[name]
        if isinstance(found, Unfit):
            raise found
        return found

    def attempts(self) -> Attempts:
        """Processes in a new folder."""
        self._count += 1
        return Attempts(self.plugins, self.folder / f"attempt{self._count}", self.time_limit)

    def trial(self, implementation: Implementation, place: str) -> Trial:
        """A trial with material of its own, secrets filled in."""
        self._count += 1
        found = trial(
            self.plugins, implementation, Material(self.folder / f"{place}{self._count}"), self.given
        )
        step = dataclasses.replace(found.step, config=with_secrets(found.step.config))
        return dataclasses.replace(found, step=step)

    def _import(self, point: EntryPoint) -> dict[str, Any]:
        self._count += 1
        place = self.folder / f"light{self._count}"
        place.mkdir(parents=True)
        write_json(place / "job.json", {"module": point.value.partition(":")[0]})
        words = ["llmops_core.testing.light", str(place / "job.json")]
        limit = min(self.time_limit, 60.0)
        status, out, err = run_limited(words, place / "empty", child_environment(place), limit)
        if status is None:
            return {"error": f"its import did not end within {limit:g} s", "stdout": out}
        if not (place / "job.report.json").exists():
            lines = err.strip().splitlines() or [f"the process ended with status {status}"]
            return {"error": lines[-1], "stdout": out}
        return {**read_json(place / "job.report.json"), "stdout": out}

    def _try(self, implementation: Implementation) -> Tried:
        one, other = self.trial(implementation, "whole"), self.trial(implementation, "second")
        for known in self._tried.values():
            if isinstance(known, Tried) and _signature(known.trial) == _signature(one):
                return known
        attempts = self.attempts()
        first = attempts.watched(one, attempts.request(one))
        found = Tried(one, first, other)
        if not first.digest:
            return found
        if BY_NAME[one.step.stage].live:
            return self._released(attempts, found, implementation)
        killed, before = None, _artifacts(other)
        if implementation.group == one.step.stage:  # how a step goes on is its owner's doing, not its part's
            moment = _middle(first.report["moments"])
            killed = attempts.watched(other, attempts.request(other), kill_at=moment)
        left = tuple(sorted(_artifacts(other) - before)) if killed else ()
        config = varied(other.step.config, other.example.fixed)
        seed = SEED if self.seeded(one) else SEED + 1
        request = attempts.request(other, seed=seed, config=config)
        again = attempts.elsewhere(other, request)
        return dataclasses.replace(found, killed=killed, left=left, again=again)

    def _released(self, attempts: Attempts, found: Tried, implementation: Implementation) -> Tried:
        """Release what a live step made, from another process; whatever it leaves is ended here."""
        first = found.first
        undone = None
        if implementation.undo:
            undone = attempts.watched(found.trial, first.request, undo=first.digest)
        process = int(first.report.get("process") or 0)
        left = process and running(process)
        if left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        remains = f"process {process} is still there" if left else ""
        return dataclasses.replace(found, undone=undone, remains=remains)

    def seeded(self, one: Trial) -> bool:
        """Whether a step's output may depend on the seed."""
        return any(implementation.seeded for _, implementation in chosen(one.step, self.plugins))


def running(process: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def points_of(name: str) -> list[EntryPoint]:
    """The entry points of the distribution, or the entry point, of this name. Raises UsageError."""
    found = entry_points(PLUGINS)
    plainly = _plainly(name)
    points = [one for one in found if _plainly(one.distribution) == plainly]
    points = points or [one for one in found if _plainly(one.name) == plainly]
    if not points:
        known = {one.distribution for one in found} | {one.name for one in found}
        remedy = did_you_mean(name, known) + "See: llmops plugins"
        raise UsageError(f"no plugin {name} is installed", remedy=remedy)
    return points


@contextlib.contextmanager
def examining(name: str, *, time_limit: float = TIME_LIMIT, runs: bool = True) -> Iterator[Examination]:
    """The examination of an installed plugin, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="llmops-kit-", ignore_cleanup_errors=True) as folder:
        yield Examination(points_of(name), Path(folder).resolve(), time_limit, runs)


def _signature(one: Trial) -> str:
    said = json.dumps(plain(one.step.config)).replace(str(one.material.folder), "")
    return f"{one.step.stage}={one.step.implementation.name} {said}"


def _plainly(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _middle(moments: str) -> int:
    """At which moment to kill: where a file that a later run would read is being written, else in the middle.

    -1: there was none, so at the end.
    """
    for letter in "sfe":
        places = [place for place, one in enumerate(moments, 1) if one == letter]
        if places:
            return places[len(places) // 2]
    return -1


def _artifacts(one: Trial) -> set[str]:
    folder = one.material.store.root / "artifacts"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
