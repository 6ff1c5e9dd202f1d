"""A step that torchrun or Slurm starts several processes for: one output, and everybody's error is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Artifact, Dataset, Model
from llmops_core.errors import StepError
from llmops_core.files import read_json, write_json
from llmops_core.launch import ProcessLaunch, launched, process
from llmops_core.plugins import load
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_core.typed import plain
from llmops_core.worker import StepRequest, Worker, as_json, understood
from llmops_lightning.config import Ddp, Fsdp, LightningTrain
from tests.conftest import REPOSITORY

Settings = Callable[..., LightningTrain]
WORKER = ["-m", "llmops_core.worker"]
DDP = Part("train/strategy", "ddp", Ddp(processes=4, accelerator="cpu"))
FSDP = Part("train/strategy", "fsdp", Fsdp(accelerator="cpu"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def taken(store: Store, artifact: Artifact) -> str:
    """The digest of an artifact in the store."""
    temporary = store.temporary("test")
    shutil.copytree(artifact.folder, temporary / "files", dirs_exist_ok=True)
    return store.publish(replace(artifact, folder=temporary / "files"), temporary).digest


@pytest.fixture
def request_of(store: Store, base: Model, data: Dataset) -> Callable[[LightningTrain], Path]:
    """The file of a request to train."""

    def write(config: LightningTrain) -> Path:
        inputs = {"model": taken(store, base), "data": taken(store, data)}
        request = StepRequest(
            store=str(store.root),
            run="1",
            step="train",
            stage="train",
            use="lightning",
            config=plain(config),
            inputs=inputs,
            key="k",
            seed=3,
            environment="dev",
        )
        path = store.root / "train.json"
        write_json(path, as_json(request))
        return path

    return write


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **more}


def answer(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.with_suffix(".answer.json").read_text())
    return found


def slurm(path: Path, job: int) -> list[subprocess.Popen[str]]:
    """What srun would start, as far as its variables go."""
    told = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "localhost"}
    return [
        subprocess.Popen(
            [sys.executable, *WORKER, str(path)],
            env=environment(**told, SLURM_JOB_ID=str(job), SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def expect_trained(store: Store, path: Path, steps: int) -> None:
    made = store.open(answer(path)["output"])
    assert isinstance(made, Model) and (made.folder / "adapter_model.safetensors").is_file()
    lines = path.with_suffix(".events.jsonl").read_text().splitlines()
    losses = [event for event in map(json.loads, lines) if event.get("name") == "loss"]
    assert [event["at"] for event in losses] == list(range(1, steps + 1)), "each step is told once"
    assert list((store.root / "tmp").iterdir()) == []


def through_of(page: str) -> Sequence[str]:
    """What the command of a page puts before the worker's."""
    (said,) = re.findall(r"llmops run .*'train.launch.through=\[(.*)\]'", page)
    words: str = said
    return words.replace(chr(34), "").split(",")


def test_torchrun_starts_processes_of_which_one_gives_the_output(
    store: Store,
    settings: Settings,
    request_of: Callable[[LightningTrain], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    through = through_of((REPOSITORY / "docs/how-to/train-on-many-devices.md").read_text(encoding="utf-8"))
    path = request_of(settings(strategy=DDP, max_steps=2))
    worker = Worker(load())
    made = launched(
        understood(read_json(path)), Part("launch", "process", ProcessLaunch(through=through)), worker
    )
    told = store.root / "runs" / "1" / "steps" / "train.json"
    assert made.digest == answer(told)["output"]
    expect_trained(store, told, 2)


def test_a_program_that_is_not_there_is_told(make_run: Callable[..., StepRun]) -> None:
    with pytest.raises(StepError, match=r"train.launch.through: there is no program srnu here"):
        process(ProcessLaunch(through=["srnu", "-N2"]), ["true"], make_run())


def test_slurm_starts_processes_that_share_the_weights_too(
    store: Store, settings: Settings, request_of: Callable[[LightningTrain], Path]
) -> None:
    path = request_of(settings(strategy=FSDP, max_steps=2))
    for one in slurm(path, os.getpid()):
        _, words = one.communicate(timeout=600)
        assert one.returncode == 0, words
    expect_trained(store, path, 2)


def test_a_number_of_processes_that_does_not_divide_the_plan_is_told_by_each(
    settings: Settings, request_of: Callable[[LightningTrain], Path]
) -> None:
    path = request_of(settings(strategy=DDP, accumulate=3))
    for one in slurm(path, os.getpid()):
        _, words = one.communicate(timeout=600)
        assert one.returncode == 1
        assert "the 3 micro-batches of an optimizer step cannot be shared evenly among 2 processes" in words
        assert "Traceback" not in words
    assert "accumulate to a multiple of 2" in answer(path)["error"]["remedy"]


def test_a_process_that_is_killed_ends_the_others_with_an_error(
    settings: Settings, request_of: Callable[[LightningTrain], Path]
) -> None:
    path = request_of(settings(strategy=DDP, max_steps=None, epochs=200, checkpoint_every=1000))
    leading, other = slurm(path, os.getpid())
    told = path.with_suffix(".events.jsonl")
    while leading.poll() is None and not (told.exists() and '"loss"' in told.read_text()):
        time.sleep(0.05)
    other.kill()
    other.communicate(timeout=600)
    _, words = leading.communicate(timeout=600)
    assert leading.returncode == 1, words
    assert "another process of the training is gone" in answer(path)["error"]["what"]
