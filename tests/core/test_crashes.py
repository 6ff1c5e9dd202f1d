"""Runs killed anywhere, two at once, and interrupted: the end is the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from typing import Any

import pytest

from llmops_core import events
from llmops_core.artifacts import Dataset
from llmops_core.errors import StepError
from llmops_core.manifest import all_runs, read_run
from llmops_core.runner import Runner
from llmops_core.step import StepRun
from llmops_core.store import Store
from tests import processes
from tests.conftest import CommandLine, Project
from tests.stand_ins import CONTENT_STEPS, Instead, Watch, outputs, until, written

# -- kills --------------------------------------------------------------------------------------------


@pytest.fixture
def calm(project: Project) -> list[str]:
    """The outputs of an undisturbed run in another store."""
    recipe = project.check("store=calm")
    return outputs(Runner(recipe, project.plugins(), Store(project.folder / "calm")).run())


def nothing_half_written_is_trusted(project: Project) -> None:
    assert all(wrong == [] for _, wrong in project.store.verify())
    assert not list((project.store.root / "scratch").glob("*/*"))


def test_a_kill_before_any_change_of_a_file_costs_nothing_but_time(project: Project, calm: list[str]) -> None:
    finished, recipe, plugins = 0, project.check(), project.plugins()
    for number in range(1, 1000, 4):
        shutil.rmtree(project.store.root, ignore_errors=True)

        def work(number: int = number) -> None:
            processes.die_at(number, project.store.root)
            Runner(recipe, plugins, project.store).run()

        if processes.wait(processes.start(work)) == 0:
            finished = number
            break
        assert outputs(Runner(recipe, plugins, project.store).run()) == calm
        nothing_half_written_is_trusted(project)
    assert finished > 50, "the run makes many changes, and each was died before"


def test_a_kill_at_each_boundary_of_a_step_costs_no_finished_step(project: Project, calm: list[str]) -> None:
    boundaries = (events.StepStarted, events.StepEnded)
    names = [step.name for step in project.check().steps]
    for kind in boundaries:
        for place, name in enumerate(names):
            shutil.rmtree(project.store.root, ignore_errors=True)

            def die(run: Any, event: events.Event, kind: Any = kind, name: str = name) -> None:
                if isinstance(event, kind) and event.step == name:
                    os.kill(os.getpid(), signal.SIGKILL)

            project.extra = [("watch", Watch(die))]
            assert processes.wait(processes.start(project.run)) == -signal.SIGKILL
            project.extra = []
            again = project.run()
            assert outputs(again) == calm
            done = place + (kind is events.StepEnded)
            states = [step["status"] for step in again.document["steps"]]
            assert states[:done].count("reused") == min(done, CONTENT_STEPS)
            assert states.count("done") == len(names) - min(done, CONTENT_STEPS)


def test_kills_at_random_moments_lead_to_the_same_end(project: Project, calm: list[str]) -> None:
    chance = random.Random(4)
    slow = ("data.pause=0.05", "train.pause=0.1")
    for _ in range(8):
        processes.kill_after(processes.start(lambda: project.run(*slow)), chance.uniform(0.0, 0.35))
    assert outputs(project.run(*slow)) == calm
    nothing_half_written_is_trusted(project)


def test_a_killed_command_is_shown_as_killed_and_goes_on(project: Project, llmops: CommandLine) -> None:
    with llmops.start("run", "recipe.yaml", "train.pause=30") as process:
        manifest = project.store.root / "runs" / "1" / "manifest.json"
        until(
            lambda: manifest.exists() and json.loads(manifest.read_text())["steps"][2]["status"] == "running"
        )
        process.kill()
    shown = llmops("runs")
    assert "killed" in shown.stdout
    assert read_run(project.store, "1").status == "killed"
    again = llmops("run", "recipe.yaml", "--json")
    states = [step["status"] for step in json.loads(again.stdout)["steps"]]
    assert states == ["reused", "reused", "done", "done", "done", "done"]


# -- two at once --------------------------------------------------------------------------------------


def test_two_runs_at_once_end_with_the_same_artifacts(project: Project, calm: list[str]) -> None:
    project.store.prepare()
    both = [processes.start(lambda: project.run("data.pause=0.1", "train.pause=0.2")) for _ in range(2)]
    assert [processes.wait(process) for process in both] == [0, 0]
    first, second = all_runs(project.store)
    assert {first.id, second.id} == {"1", "2"}
    assert outputs(first) == outputs(second) == calm


def test_of_two_runs_that_make_one_key_the_first_wins_and_the_other_adopts(project: Project) -> None:
    def slow(run: StepRun) -> Dataset:
        # another run makes the same key, with other content, before this one is done
        if run.run == "1":
            project.extra = [("slow", Instead("data", lambda inner: written(inner, "first")))]
            project.run()
        return written(run, "second")

    project.extra = [("slow", Instead("data", slow))]
    late = project.run()
    early = read_run(project.store, "2")
    assert late.id == "1"
    assert outputs(late)[0] == outputs(early)[0]
    kept = project.store.open(outputs(late)[0])
    assert (kept.folder / "train.jsonl").read_text() == '{"row": "first"}\n'


def test_what_an_unfinished_step_kept_is_given_to_one_run_alone(project: Project) -> None:
    seen: list[list[str]] = []

    def keeps(run: StepRun) -> Any:
        seen.append(sorted(path.name for path in run.scratch.iterdir()))
        (run.scratch / "checkpoint").write_text(run.run)
        if run.run == "1":
            with pytest.raises(StepError):
                project.run()  # at the same time
        raise RuntimeError("no")

    project.extra = [("keeps", Instead("data", keeps))]
    with pytest.raises(StepError):
        project.run()
    with pytest.raises(StepError):
        project.run()
    assert seen == [[], [], ["checkpoint"]]
    project.extra = []
    project.run()
    assert not list((project.store.root / "scratch").iterdir())


# -- interrupted --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_command_says_so_and_goes_on(
    project: Project, llmops: CommandLine, number: signal.Signals
) -> None:
    with llmops.start("run", "recipe.yaml", "train.pause=30") as process:
        manifest = project.store.root / "runs" / "1" / "manifest.json"
        until(
            lambda: manifest.exists() and json.loads(manifest.read_text())["steps"][2]["status"] == "running"
        )
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted; the same command goes on from here" in err
    assert "Traceback" not in err
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("  ")][:3] == [
        ["data", "done"],
        ["model", "done"],
        ["train", "interrupted"],
    ]
    run = read_run(project.store, "1")
    assert (run.status, run.step("train")["status"]) == ("interrupted", "interrupted")
    assert not list((project.store.root / "tmp").iterdir())
    assert [step["status"] for step in project.run().document["steps"]][:3] == ["reused", "reused", "done"]
