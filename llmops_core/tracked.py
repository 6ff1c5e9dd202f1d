"""What a tracker is told of a run, as plain values: read from its record, its store and the journal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Artifact, Release, Scores
from llmops_core.errors import LlmopsError, StepError
from llmops_core.journal import Deployment, Journal
from llmops_core.manifest import Manifest, read_run
from llmops_core.releases import NamedRelease, all_releases
from llmops_core.secrets import Secrets
from llmops_core.stages import BESIDE
from llmops_core.step import secret_name
from llmops_core.worker import offline


class TrackingError(LlmopsError):
    """A run could not be recorded elsewhere as it should; the run itself goes on."""


@dataclass(frozen=True)
class Point:
    """A number as a step told it: `at` is its count (optimizer steps in training), `time` seconds
    since 1970."""

    step: str
    name: str
    value: float
    at: int | None
    time: float


@dataclass(frozen=True)
class Output:
    """What a step gave, by reference: nothing of it is to be copied."""

    step: str
    stage: str
    use: str
    reused: bool
    kind: str
    digest: str
    folder: Path
    result: str
    scores: Mapping[str, float] = field(default_factory=dict)
    """For Scores, each value; the baseline's as "baseline.NAME"."""


@dataclass(frozen=True)
class TrackedRelease:
    """A release by its name in the store, and where it lies."""

    name: str
    digest: str
    folder: Path
    run: str
    """The run that made it."""
    recipe: str
    """Empty when the record of that run is gone."""
    gates: Mapping[str, float]
    result: str


@dataclass(frozen=True)
class Live:
    """The latest deployment in an environment, as the journal tells it."""

    environment: str
    release: TrackedRelease
    live: bool
    """False: nothing is live there any more."""
    told: Mapping[str, str]
    """Each release that was ever live there, by digest: from when to when the last time, and why it ended."""
    ours: frozenset[str]
    """The digests of every release of this store: nobody else's are this run's to change."""


@dataclass(frozen=True)
class Ended:
    """How the run ended: "done", "failed", "refused" or "interrupted"."""

    status: str
    error: str
    steps: Sequence[Mapping[str, Any]]
    """Each step's name, stage, use, status, action, key, inputs, output, folder, result and seconds."""
    report: Path | None


@dataclass(frozen=True)
class TrackedRun:
    """The run to be recorded, as plain values without secrets."""

    id: str
    title: str
    recipe: str
    """A rollback has none of its own: it stands with the run that first deployed what it puts back."""
    about: str
    folder: Path
    store: Path
    environment: str
    parameters: Mapping[str, bool | int | float | str | None]
    """The resolved config, flat: {"train.lr": 0.0002}. A list is its JSON text."""
    tags: Mapping[str, str]
    """{"llmops.recipe": "quickstart", "llmops.run": "7", ...}"""
    labels: Sequence[str]
    """The tags a person gave the run."""
    started: float
    """Seconds since 1970: a tracker may get to it later."""
    offline: bool
    read_secret: Callable[[str], str]

    def secret(self, reference: str) -> str:
        """The value behind "${secret:NAME}", read now."""
        return self.read_secret(secret_name(reference))


def tracked_run(run: Manifest) -> TrackedRun:
    """What a tracker is told of a run when it starts."""
    document: Mapping[str, Any] = run.secrets.redact(run.document)
    config = {name: value for name, value in document.get("config", {}).items() if name not in BESIDE}
    return TrackedRun(
        id=run.id,
        title=str(document.get("name") or f"{document['recipe']} {run.id}"),
        recipe=_recipe(run),
        about=str(config.get("about") or ""),
        folder=run.folder.resolve(),
        store=run.store.root.resolve(),
        environment=str(document["environment"]),
        parameters=dict(flat(config)),
        tags=_tags(run, document),
        labels=tuple(document.get("tags") or ()),
        started=time.time(),
        offline=offline(),
        read_secret=_reader(run.secrets),
    )


def _reader(secrets: Secrets) -> Callable[[str], str]:
    def read(name: str) -> str:
        try:
            return secrets.read(name)
        except StepError as error:
            raise TrackingError(error.problem.what, remedy=error.problem.remedy) from error

    return read


def _tags(run: Manifest, document: Mapping[str, Any]) -> dict[str, str]:
    git = document.get("git") or {}
    found = {
        "recipe": document["recipe"],
        "run": run.id,
        "environment": document["environment"],
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
        "overrides": " ".join(document.get("overrides") or ()),
        "parent": document.get("parent"),
        "tags": ", ".join(document.get("tags") or ()),
        "machine": (document.get("machine") or {}).get("processor"),
    }
    return {f"llmops.{name}": text(value) for name, value in found.items() if value not in (None, "")}


def flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a config with its dotted path, a list as JSON text; an empty mapping has none."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", text(value) if isinstance(value, (list, tuple)) else value


def text(value: Any) -> str:
    """A value of a config as text: "true", "null", "0.5", "[1, 2]", and a text as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def output(run: Manifest, record: Mapping[str, Any]) -> Output:
    """What a step gave, from its part of the run's record."""
    artifact = run.artifact(record["output"])
    return Output(
        step=record["name"],
        stage=record["stage"],
        use=record["use"],
        reused=record["status"] == "reused",
        kind=type(artifact).__name__,
        digest=artifact.digest,
        folder=artifact.folder.resolve(),
        result=run.secrets.redact(str(record.get("result", ""))),
        scores=_scores(artifact),
    )


def _scores(artifact: Artifact) -> dict[str, float]:
    if not isinstance(artifact, Scores):
        return {}
    before = {f"baseline.{name}": score["value"] for name, score in artifact.baseline.items()}
    return {**{name: score["value"] for name, score in artifact.values.items()}, **before}


def release(run: Manifest, digest: str) -> TrackedRelease:
    """A release of the run's store. Raises TrackingError when there is none of that digest."""
    named = next((one for one in all_releases(run.store) if one.digest == digest), None)
    if named is None:
        raise TrackingError(f"{digest[:12]} is no release of {run.store.root}")
    artifact = run.artifact(named.digest)
    gates = artifact.gates if isinstance(artifact, Release) else {}
    return TrackedRelease(
        name=named.name,
        digest=named.digest,
        folder=artifact.folder.resolve(),
        run=named.run,
        recipe=_recipe_of(run, named),
        gates={name: gate["value"] for name, gate in gates.items()},
        result=artifact.summary(),
    )


def _recipe_of(run: Manifest, named: NamedRelease) -> str:
    try:
        return _recipe(run if named.run == run.id else read_run(run.store, named.run))
    except LlmopsError:
        return ""  # the record of that run was removed


def _recipe(run: Manifest) -> str:
    document = run.document
    own = "recipe_path" in document or not document.get("parent")
    return str(document["recipe"]) if own else _recipe(read_run(run.store, document["parent"]))


def live(run: Manifest) -> Live | None:
    """The latest deployment in the run's environment; None where there never was one."""
    environment = str(run.document["environment"])
    history = Journal(run.store.root, lambda text: None).history(environment)
    if not history:
        return None
    latest = history[-1]
    told = {one.digest: _when(one) for one in history}
    ours = frozenset(one.digest for one in all_releases(run.store))
    return Live(environment, release(run, latest.digest), latest.live, told, ours)


def _when(deployment: Deployment) -> str:
    began = deployment.start.isoformat(timespec="seconds")
    ended = deployment.end.isoformat(timespec="seconds") if deployment.end else ""
    words = [f"{began} to {ended}" if ended else f"since {began}", deployment.reason]
    return ", ".join(word for word in words if word)


def ended(run: Manifest, event: events.RunEnded) -> Ended:
    """How a run ended."""
    document: Mapping[str, Any] = run.secrets.redact(run.document)
    error = document.get("error") or {}
    kept = ("name", "stage", "use", "status", "action", "key", "inputs", "output", "result", "seconds")
    steps = []
    for record in document["steps"]:
        steps.append({name: record[name] for name in kept if name in record} | _place(run, record))
    report = run.folder / "report.html"
    return Ended(event.status, str(error.get("what") or ""), steps, report if report.is_file() else None)


def _place(run: Manifest, record: Mapping[str, Any]) -> dict[str, str]:
    """Where what a step gave lies; nothing where it is gone, which must keep no record from being closed."""
    try:
        return {"folder": str(run.artifact(record["output"]).folder)} if record.get("output") else {}
    except LlmopsError:
        return {}
