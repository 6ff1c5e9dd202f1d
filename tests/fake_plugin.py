"""A plugin with tiny implementations of the stages: what the tests run instead of torch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmops_core.artifacts import Cluster, Dataset, Endpoint, Model, Release, Scores
from llmops_core.errors import GateRefused
from llmops_core.hookspecs import Estimate, Implementation, hookimpl
from llmops_core.settings import Part, part, parts, setting
from llmops_core.step import StepRun


@dataclass(frozen=True)
class FakeData:
    """Rows made from nothing."""

    rows: int = setting(4, doc="How many rows.", unit="rows", at_least=0)
    source: str | None = setting(None, doc="A file to take rows from.", path=True)
    workers: int = setting(1, doc="How many processes.", at_least=1, output=False)
    added: str = setting("", doc="A field that came later.", neutral="")
    token: str | None = setting(None, doc="A secret.", secret=True)
    pause: float = setting(0.0, doc="How long it takes.", unit="seconds", at_least=0, output=False)
    fail: str = setting("", doc="Raises this.", output=False)
    steps: Mapping[str, Part] = parts("data/step", doc="What is done to the rows, in order.")


@dataclass(frozen=True)
class FakeStep:
    """Keeps a share of the rows."""

    share: float = setting(1.0, doc="How many stay.", at_least=0, at_most=1)


@dataclass(frozen=True)
class FakeModel:
    """A model of one number."""

    size: int = setting(10, doc="Parameters.", above=0)


@dataclass(frozen=True)
class FakeTuning:
    """How it learns."""

    rank: int = setting(8, doc="Rank.", at_least=1)


@dataclass(frozen=True)
class FakeTrain:
    """Adds numbers up."""

    lr: float = setting(0.1, doc="Learning rate.", above=0)
    warmup_steps: int = setting(0, doc="Steps.", at_least=0)
    tuning: Part = part("train/tuning", "small", doc="Which weights learn.")
    pause: float = setting(0.0, doc="How long it takes.", unit="seconds", at_least=0, output=False)


@dataclass(frozen=True)
class FakeEvaluate:
    """Gives one score."""

    floor: float = setting(0.0, doc="The lowest score.")


@dataclass(frozen=True)
class FakeRelease:
    """Releases a score that is high enough."""

    at_least: float = setting(0.0, doc="The gate.")


@dataclass(frozen=True)
class FakeDeploy:
    """Pretends to serve."""

    keep: bool = setting(False, doc="Stays up: a real process.")
    replicas: int = setting(1, doc="How many.", at_least=1, output=False)
    token: str | None = setting(None, doc="A secret.", secret=True)
    fail: str = setting("", doc="Raises this.", output=False)
    pause: float = setting(0.0, doc="How long it takes.", unit="seconds", at_least=0, output=False)


def make_data(config: FakeData, run: StepRun) -> Dataset:
    if config.token:
        secret = run.secret(config.token)
        run.log(f"the token is {secret}")
        run.warn(f"careful with {secret}")
        if config.fail == "secret":
            raise RuntimeError(f"cannot log in with {secret}")
    if config.fail:
        raise RuntimeError(config.fail)
    time.sleep(config.pause)
    rows = config.rows
    for step in config.steps.values():
        rows = run.load(step)(step.config, rows)
    (run.folder / "train.jsonl").write_text("".join(json.dumps({"row": n}) + "\n" for n in range(rows)))
    run.progress(rows, rows)
    return Dataset(
        folder=run.folder, rows={"train": rows}, shape="fake", funnel=[{"step": "source", "rows": rows}]
    )


def keep_share(config: FakeStep, rows: int) -> int:
    return int(rows * config.share)


def make_model(config: FakeModel, run: StepRun) -> Model:
    (run.folder / "weights").write_bytes(b"w" * config.size)
    return Model(folder=run.folder, name="fake", parameters=config.size, context=8)


def train(config: FakeTrain, run: StepRun, *, model: Model, data: Dataset) -> Model:
    for step in range(3):
        time.sleep(config.pause / 3)
        run.progress(step + 1, 3, loss=1.0 / (step + 1))
        run.metric("loss", 1.0 / (step + 1), at=step)
    rows = sum(1 for _ in data.read("train"))
    (run.folder / "weights").write_text(json.dumps([model.parameters, rows, config.lr, run.seed]))
    return Model(folder=run.folder, name="fake-tuned", parameters=model.parameters, context=8, base=model)


def tuning(config: FakeTuning) -> int:
    return config.rank


def evaluate(
    config: FakeEvaluate, run: StepRun, *, candidate: Model, baseline: Model | None, data: Dataset
) -> Scores:
    value = max(config.floor, 0.5)
    score = {"value": value, "low": value, "high": value, "better": "higher"}
    (run.folder / "samples.jsonl").write_text("")
    return Scores(folder=run.folder, rows=4, values={"accuracy": score}, baseline={})


def release(config: FakeRelease, run: StepRun, *, candidate: Model, scores: Scores) -> Release:
    value = scores.values["accuracy"]["value"]
    if value < config.at_least:
        raise GateRefused(f"accuracy {value} is below {config.at_least} by {config.at_least - value:g}")
    (run.folder / "model_card.md").write_text("# fake\n")
    gates = {"accuracy": {"value": value, "at_least": config.at_least, "passed": True}}
    return Release(folder=run.folder, candidate=candidate, scores=scores, gates=gates, prompt={})


def deploy(config: FakeDeploy, run: StepRun, *, release: Release, infra: Cluster | None = None) -> Endpoint:
    time.sleep(config.pause)
    if config.fail:
        raise RuntimeError(config.fail)
    (run.folder / "answer.txt").write_text("hello")
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    process = 0
    if config.keep:
        process = os.posix_spawnp("sleep", ["sleep", "120"], os.environ, file_actions=silent)
    return Endpoint(
        folder=run.folder,
        url="http://127.0.0.1:1",
        release=release,
        environment=run.environment,
        process=process,
    )


def stop(artifact: Endpoint, run: StepRun) -> None:
    if artifact.process:
        with contextlib.suppress(ProcessLookupError):
            os.kill(artifact.process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(artifact.process, 0)


def estimate(config: Any, inputs: Mapping[str, Any]) -> Sequence[Estimate]:
    return [Estimate("time", 2.0, "counted"), Estimate("memory", 1e6, "counted")]


def _one(group: str, name: str, cls: str, target: str, **others: Any) -> Implementation:
    return Implementation(group, name, f"{__name__}:{cls}", f"{__name__}:{target}", **others)


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    guess = f"{__name__}:estimate"
    return [
        _one("data", "fake", "FakeData", "make_data", estimate=guess),
        _one("data/step", "share", "FakeStep", "keep_share", seeded=False),
        _one("model", "fake", "FakeModel", "make_model", seeded=False),
        _one("train", "fake", "FakeTrain", "train", estimate=guess),
        _one("train/tuning", "small", "FakeTuning", "tuning", seeded=False),
        _one("train/tuning", "large", "FakeTuning", "tuning", seeded=False),
        _one("evaluate", "fake", "FakeEvaluate", "evaluate", gives=("accuracy",)),
        _one("release", "fake", "FakeRelease", "release", seeded=False),
        _one("deploy", "fake", "FakeDeploy", "deploy", seeded=False, undo=f"{__name__}:stop"),
    ]
