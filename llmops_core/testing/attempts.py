"""Runs a trial in processes of its own: whole, killed in the middle, and again elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Artifact
from llmops_core.check import chosen
from llmops_core.files import read_json, write_json
from llmops_core.hookspecs import Implementation
from llmops_core.keys import KeyMaker, digest
from llmops_core.plugins import Plugins
from llmops_core.secrets import named_in
from llmops_core.settings import Part, declared
from llmops_core.stages import BY_NAME
from llmops_core.testing.examples import Trial
from llmops_core.typed import plain
from llmops_core.worker import OFFLINE, StepRequest, as_json, request_for

SECRET = "LLMOPS_KIT_SECRET"
USUAL = "LLMOPS_KIT_TOKEN"
CANARY = "kit-canary-5f1e77a3c0de"
"""What every secret's value is while a plugin is tried; it must turn up nowhere."""
SEED = 11


@dataclass(frozen=True)
class Attempt:
    """What became of a process. `status` is None when it had to be stopped at the time limit."""

    request: StepRequest
    status: int | None
    report: Mapping[str, Any]
    stdout: str
    stderr: str

    @property
    def digest(self) -> str:
        """The digest of what the step gave; empty when it gave nothing."""
        return str(self.report.get("digest") or self.report.get("output") or "")

    @property
    def error(self) -> str:
        """Why it gave nothing, in a line; empty when it did."""
        if self.digest:
            return ""
        if self.status is None:
            return "it did not end within the time limit"
        told = self.report.get("error") or ""
        if isinstance(told, dict):
            told = f"{told.get('where', '')}: {told.get('what', '')} {told.get('remedy', '')}".strip(": ")
        lines = self.stderr.strip().splitlines()
        return str(told) or (lines[-1] if lines else f"it ended with status {self.status}")


@dataclass
class Attempts:
    """Starts the processes of one trial, each in folders of its own below `folder`."""

    plugins: Plugins
    folder: Path
    time_limit: float
    """Seconds that one process may take."""
    count: int = 0
    started: list[int] = field(default_factory=list)

    def request(self, trial: Trial, *, seed: int = SEED, config: Any = None) -> StepRequest:
        """The request of a trial, as the runner would write it."""
        step = trial.step if config is None else dataclasses.replace(trial.step, config=config)
        inputs = {slot: one.digest for slot, one in trial.inputs.items()}
        return request_for(
            step,
            inputs,
            store=str(trial.material.store.root),
            run="0",
            key=digest(key_document(self.plugins, trial, step.config)),
            seed=seed,
            environment="dev",
        )

    def watched(self, trial: Trial, request: StepRequest, *, kill_at: int = 0, undo: str = "") -> Attempt:
        """Run a step while watching it; or, given the digest of what it made, release that."""
        place = self._place()
        allowed = [*_folders(trial.inputs.values()), *trial.example.reads, *paths_in(trial.step.config)]
        store = trial.material.store.root
        allowed += [str(store / name) for name in ("tmp", "scratch", "downloads", "cache", "endpoints")]
        allowed += [str(place / name) for name in ("home", "temporary")]
        job = {
            "request": as_json(request),
            "references": [one for _, made in chosen(trial.step, self.plugins) for one in calls(made)],
            "kill_at": kill_at,
            "undo": undo,
            "allowed": allowed,
            "folder": str(place),
        }
        write_json(place / "job.json", job)
        status, out, err = self._start("llmops_core.testing.watched", place / "job.json", trial, {})
        return Attempt(request, status, _read(place / "job.report.json"), out, err)

    def elsewhere(self, trial: Trial, request: StepRequest) -> Attempt:
        """Run a step the way every engine does, with other hashes of texts and in another time zone."""
        place = self._place()
        write_json(place / "request.json", as_json(request))
        changed = {"PYTHONHASHSEED": "42", "TZ": "Asia/Tokyo"}
        status, out, err = self._start("llmops_core.worker", place / "request.json", trial, changed)
        return Attempt(request, status, _read(place / "request.answer.json"), out, err)

    def _place(self) -> Path:
        self.count += 1
        place = self.folder / f"process{self.count}"
        for name in ("home", "temporary", "empty"):
            (place / name).mkdir(parents=True)
        return place

    def _start(
        self, module: str, document: Path, trial: Trial, changed: Mapping[str, str]
    ) -> tuple[int | None, str, str]:
        environment = {**child_environment(document.parent), **changed}
        names = named_in(plain(trial.step.config))
        environment |= dict.fromkeys((*names, SECRET, USUAL), CANARY)
        if trial.example.network:
            environment.pop(OFFLINE, None)
        return run_limited([module, str(document)], document.parent / "empty", environment, self.time_limit)


def calls(implementation: Implementation) -> list[list[Any]]:
    """How the functions of an implementation are called: [label, reference, arguments, names, optional] each.

    Names are None where the owner of the part decides; optional ones need not be known to the function.
    """
    label = f"{implementation.group}={implementation.name}"
    stage = BY_NAME.get(implementation.group)
    names = [slot.name for slot in stage.takes if not slot.optional] if stage else None
    optional = [slot.name for slot in stage.takes if slot.optional] if stage else []
    found: list[list[Any]] = [[label, implementation.target, 2, names, optional]]
    if implementation.undo:
        found.append([label, implementation.undo, 2, [], []])
    if implementation.foreground:
        found.append([label, implementation.foreground, 2, ["release", "live", "ended"], []])
    return found


def child_environment(place: Path) -> dict[str, str]:
    """The environment of a process that shares nothing with the user's home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLMOPS_")}
    return {
        **kept,
        OFFLINE: "1",
        "HOME": str(place / "home"),
        "XDG_CACHE_HOME": str(place / "home" / ".cache"),
        "TMPDIR": str(place / "temporary"),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONHASHSEED": "0",
    }


def run_limited(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], limit: float
) -> tuple[int | None, str, str]:
    """Run `python -m WORDS` in `folder`: its status, and what it wrote; None: stopped after `limit` seconds.

    The process and those it started are ended with it, as far as they stay in its group.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "stdout").open("w+b") as out, (folder.parent / "stderr").open("w+b") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        status: int | None
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        err.seek(0)
        return status, out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")


def key_document(plugins: Plugins, trial: Trial, config: Any) -> dict[str, Any]:
    """What the key of a trial's step with this config is the digest of."""
    step = dataclasses.replace(trial.step, config=config)
    implementations = dict(chosen(step, plugins))
    inputs = {slot: one.digest for slot, one in trial.inputs.items()}
    return KeyMaker(trial.material.store.path_digest).document(step, implementations, SEED, inputs)


def with_secrets(config: Any) -> Any:
    """A config in which every field that takes one secret has one; a mapping of several stays as it is."""
    if isinstance(config, Part):
        return dataclasses.replace(config, config=with_secrets(config.config))
    if isinstance(config, Mapping):
        return {name: with_secrets(member) for name, member in config.items()}
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return config
    changed: dict[str, Any] = {}
    for one in dataclasses.fields(config):
        value = getattr(config, one.name)
        wanted = declared(one).secret and not value and not isinstance(value, Mapping)
        changed[one.name] = f"${{secret:{SECRET}}}" if wanted else with_secrets(value)
    return dataclasses.replace(config, **changed)


def paths_in(config: Any) -> list[str]:
    """The local files and folders that a config's declared paths and addresses name."""
    if isinstance(config, Part):
        return paths_in(config.config)
    if isinstance(config, Mapping):
        return [path for member in config.values() for path in paths_in(member)]
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return []
    found: list[str] = []
    for one in dataclasses.fields(config):
        value, says = getattr(config, one.name), declared(one)
        if isinstance(value, str) and value and (says.path or value.startswith("file:")):
            found.append(value.removeprefix("file:"))
        else:
            found += paths_in(value)
    return found


def _folders(artifacts: Any) -> list[str]:
    """The folders of artifacts and of those they hold."""
    found: list[str] = []
    for artifact in artifacts:
        found.append(str(artifact.folder))
        held = [getattr(artifact, one.name) for one in dataclasses.fields(artifact)]
        found += _folders([one for one in held if isinstance(one, Artifact)])
    return found


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    found = read_json(path)
    return found if isinstance(found, dict) else json.loads("{}")
