"""Where a step's process runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_core import events
from llmops_core.errors import GateRefused, Problem, StepError
from llmops_core.hookspecs import Implementation, hookimpl
from llmops_core.launch import ProcessLaunch, _error, process
from llmops_core.runner import Runner
from llmops_core.store import Store
from llmops_core.worker import _told
from tests.conftest import CommandLine, Project


@pytest.fixture
def installed(llmops: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers in processes of their own find the fake plugin."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(llmops.site), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.usefixtures("installed")
def test_a_step_in_a_process_of_its_own_gives_what_it_gives_here(project: Project) -> None:
    told: list[events.Event] = []
    listener = SimpleNamespace(llmops_event=hookimpl(lambda run, event: told.append(event)))
    project.extra = [("listener", listener)]
    here = project.run()
    recipe = project.check("train.launch=process", "data.launch=process")
    apart = Runner(recipe, project.plugins(), Store(project.folder / "apart")).run()
    assert [step["output"] for step in apart.document["steps"]][:5] == [
        step["output"] for step in here.document["steps"]
    ][:5]
    assert [step["key"] for step in apart.document["steps"]] == [
        step["key"] for step in here.document["steps"]
    ]
    losses = [event.value for event in told if isinstance(event, events.Metric) and event.name == "loss"]
    assert losses == [1.0, 0.5, 1 / 3] * 2
    assert (apart.folder / "steps" / "train.json").is_file()
    assert not list((project.folder / "apart" / "tmp").iterdir())


@pytest.mark.usefixtures("installed")
def test_a_refusal_in_another_process_is_a_refusal_here(project: Project) -> None:
    with pytest.raises(GateRefused, match=r"below 0\.9 by 0\.4"):
        project.run("release.at_least=0.9", "release.launch=process")


def killed(config: Any, command: list[str], run: Any) -> int:
    """A launcher whose worker dies at once."""
    return subprocess.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]).returncode


@pytest.mark.usefixtures("installed")
def test_a_worker_that_dies_is_told_with_its_status(project: Project) -> None:
    config = "llmops_core.launch:HereLaunch"
    implementation = Implementation("launch", "killed", config, f"{__name__}:killed")
    project.extra = [("killer", SimpleNamespace(llmops_implementations=hookimpl(lambda: [implementation])))]
    with pytest.raises(StepError, match="status -9 and gave no answer"):
        project.run("train.launch=killed")


class PoliteRefusal(GateRefused):
    """A plugin's own kind of refusal."""


SAVES = """
import pathlib, signal, sys, time
def save(number, frame):
    time.sleep(1)
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[1], "listens").touch()
time.sleep(60)
"""


def test_a_process_is_given_the_time_to_save_itself_when_a_run_is_told_to_end(
    tmp_path: Path,
) -> None:
    def interrupt() -> None:
        while not (tmp_path / "listens").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    told = threading.Thread(target=interrupt)
    told.start()
    run: Any = None  # asked only where a program is missing
    with pytest.raises(KeyboardInterrupt):
        process(ProcessLaunch(), [sys.executable, "-c", SAVES, str(tmp_path)], run)
    told.join()
    assert (tmp_path / "saved").exists()


def test_a_plugins_own_error_comes_back_as_the_nearest_of_ours() -> None:
    problem = Problem("release", "too low by 0.4", "Train longer.")
    answer = _told(PoliteRefusal(problem.what, where=problem.where, remedy=problem.remedy))
    assert answer["kind"] == "GateRefused"
    back = _error(json.loads(json.dumps(answer)))
    assert (type(back), back.problem) == (GateRefused, problem)
    assert type(_error({**answer, "kind": "RecipeError"})) is StepError
    assert type(_error({**answer, "kind": "Problem"})) is StepError


def test_a_launcher_that_nobody_offers_is_a_problem_with_the_nearest_name(project: Project) -> None:
    (problem,) = project.problems("train.launch=proces")
    assert problem.where == "train.launch"
    assert "process" in problem.remedy


def test_a_field_of_a_launcher_is_checked_like_any_other(project: Project) -> None:
    (problem,) = project.problems("train.launch=process", "train.launch.niceness=40")
    assert (problem.where, problem.what) == ("train.launch.niceness", "40 is out of range")


def test_events_come_back_from_their_lines_as_they_were() -> None:
    for event in (events.Metric("train", "loss", 0.5, 3), events.Progress("train", 1, 2, {"loss": 0.5})):
        assert events.from_json(json.loads(json.dumps(events.to_json(event)))) == event
