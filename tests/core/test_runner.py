"""Runs: failing in every way, tried again, stopped in time, recorded, repeated."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from llmops_core import events
from llmops_core.artifacts import Model
from llmops_core.errors import GateRefused, LlmopsError, SecretError, StepError, StoreError, TimeLimitError
from llmops_core.hookspecs import hookimpl
from llmops_core.manifest import read_run
from llmops_core.runner import Runner, RunOptions
from llmops_core.step import StepRun
from tests.conftest import CommandLine, Project
from tests.stand_ins import Instead, Watch, raises, written

# -- failing ------------------------------------------------------------------------------------------


class Rude(BaseException):
    """What some libraries raise."""


def deep(run: StepRun) -> Any:
    return deep(run)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (raises(ValueError("bad\nand more lines")), "ValueError: bad"),
        (raises(ValueError()), "ValueError"),
        (raises(ValueError("x" * 5000)), "ValueError: xxx"),
        (raises(MemoryError()), "out of memory"),
        (raises(SystemExit(3)), "it tried to end the whole process (SystemExit): 3"),
        (raises(Rude("rude")), "Rude: rude"),
        (raises(GeneratorExit()), "GeneratorExit"),
        (deep, "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_whatever_a_step_raises_ends_in_a_few_lines_with_the_traceback_kept(
    project: Project, work: Callable[[StepRun], Any], said: str
) -> None:
    project.extra = [("instead", Instead("train", work))]
    with pytest.raises(LlmopsError) as caught:
        project.run()
    text = str(caught.value)
    assert text.startswith(f"train: {said}")
    assert len(text.splitlines()) <= 3 and len(text) < 700
    run = read_run(project.store, "1")
    kept = (run.folder / "train.traceback.txt").read_text()
    assert "Traceback" in kept and str(run.folder / "train.traceback.txt") in text
    assert (run.status, run.step("train")["status"]) == ("failed", "failed")
    assert run.document["error"] == run.step("train")["error"]
    assert [run.step(name)["status"] for name in ("data", "evaluate")] == ["done", "pending"]
    assert not list((project.store.root / "tmp").iterdir())


def test_a_full_disk_is_told_as_such(project: Project) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/weights")
    project.extra = [("instead", Instead("train", raises(full)))]
    with pytest.raises(
        StoreError, match=r"train: no space left on /data/weights\. Free space, or run: llmops st"
    ):
        project.run()


def test_a_full_disk_that_takes_not_even_the_record_still_tells_what_failed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def work(run: StepRun) -> Any:
        monkeypatch.setattr("llmops_core.files.write_text", full)
        raise OSError(errno.ENOSPC, "No space left on device")

    told: list[str] = []
    watch = Watch(lambda run, event: told.append(event.text) if isinstance(event, events.Log) else None)
    project.extra = [("instead", Instead("train", work)), ("watch", watch)]
    with pytest.raises(StoreError, match="train: no space left on the disk"):
        project.run()
    assert told == ["the record of run 1 cannot be written: No space left on device"]


@pytest.mark.parametrize(
    "give",
    [
        lambda run: None,
        lambda run: "weights",
        lambda run: Model(folder=run.folder, name="m", parameters=1, context=1),
    ],
)
def test_a_step_that_gives_no_artifact_of_its_kind_names_its_plugin(
    project: Project, give: Callable[[StepRun], Any]
) -> None:
    project.extra = [("instead", Instead("data", lambda run: give(run) or 5))]
    with pytest.raises(LlmopsError, match=r"data \(fake\): fake gave a \w+, not a Dataset"):
        project.run()
    assert read_run(project.store, "1").status == "failed"


def test_a_plugin_that_fails_at_an_event_is_told_once_and_fails_no_run(project: Project) -> None:
    told: list[str] = []

    def see(run: Any, event: events.Event) -> None:
        if isinstance(event, events.Progress):
            raise RuntimeError("the tracker is away")
        if isinstance(event, events.Log):
            told.append(event.text)

    project.extra = [("tracker", Watch(see))]
    run = project.run()
    assert told == run.document["warnings"]
    assert told == ["plugin tracker:tracker: RuntimeError: the tracker is away"]


def test_a_refused_gate_is_a_result_of_its_own(project: Project) -> None:
    with pytest.raises(GateRefused, match=r"accuracy 0\.5 is below 0\.9 by 0\.4"):
        project.run("release.at_least=0.9")
    run = read_run(project.store, "1")
    assert (run.status, run.step("release")["status"]) == ("refused", "refused")
    assert not (project.store.root / "releases").exists()


# -- tried again, stopped in time ---------------------------------------------------------------------


def test_a_step_is_tried_again_as_often_as_set_and_what_it_kept_is_given_back(project: Project) -> None:
    def work(run: StepRun) -> Any:
        assert not list(run.folder.iterdir()), "every attempt writes into an empty folder"
        (run.folder / "half").write_text("x")
        count = len(list(run.scratch.iterdir()))
        (run.scratch / str(count)).write_text("")
        if count < 2:
            raise ConnectionError("later")
        (run.folder / "half").unlink()
        return written(run, "at last")

    retried: list[events.StepRetried] = []
    watch = Watch(lambda run, event: retried.append(event) if isinstance(event, events.StepRetried) else None)
    project.extra = [("flaky", Instead("data", work)), ("watch", watch)]
    run = project.run("data.retry.times=2", "data.retry.wait=0")
    assert run.step("data")["attempts"] == 3
    assert [event.attempt for event in retried] == [1, 2]
    assert "ConnectionError: later" in retried[0].error


def test_a_step_that_keeps_failing_fails_after_the_last_attempt(project: Project) -> None:
    flaky = Instead("data", raises(ConnectionError("never")))
    project.extra = [("flaky", flaky)]
    with pytest.raises(StepError, match="never"):
        project.run("data.retry.times=2", "data.retry.wait=0")
    assert flaky.calls == 3


@pytest.mark.parametrize("error", [GateRefused("no"), SecretError("the secret X is not set")])
def test_what_trying_again_cannot_change_is_not_tried_again(project: Project, error: LlmopsError) -> None:
    flaky = Instead("data", raises(error))
    project.extra = [("flaky", flaky)]
    with pytest.raises(type(error)):
        project.run("data.retry.times=5")
    assert flaky.calls == 1


def sleeps(run: StepRun) -> Any:
    time.sleep(20)


def swallows(run: StepRun) -> Any:
    try:
        time.sleep(20)
    except Exception:
        return written(run, "too late")


def wraps(run: StepRun) -> Any:
    try:
        time.sleep(20)
    except Exception as error:
        raise RuntimeError("a worker died") from error


@pytest.mark.parametrize("work", [sleeps, swallows, wraps])
def test_a_step_is_stopped_at_its_time_limit_however_it_takes_it(
    project: Project, work: Callable[[StepRun], Any]
) -> None:
    project.extra = [("slow", Instead("data", work))]
    began = time.monotonic()
    with pytest.raises(
        TimeLimitError, match=r"data: ran longer than its limit of 0\.1 s\. Raise data\.time_limit"
    ):
        project.run("data.time_limit=0.1")
    assert time.monotonic() - began < 10
    assert read_run(project.store, "1").status == "failed"


def test_a_step_within_its_time_limit_is_left_alone_and_so_are_other_timers(project: Project) -> None:
    before = signal.getsignal(signal.SIGALRM)
    kept = signal.setitimer(signal.ITIMER_REAL, 500)
    try:
        assert project.run("data.time_limit=20").status == "done"
        assert 400 < signal.getitimer(signal.ITIMER_REAL)[0] < 500
        assert signal.getsignal(signal.SIGALRM) == before
    finally:
        signal.setitimer(signal.ITIMER_REAL, *kept)


# -- the record ---------------------------------------------------------------------------------------


def test_estimate_and_actual_stand_side_by_side_and_the_next_estimate_learns(project: Project) -> None:
    first = project.run().step("train")
    assert first["estimate"]["time"] == {"value": 2.0, "basis": "counted", "uncorrected": 2.0}
    assert 0 < first["actual"]["time"] < 2 and first["actual"]["memory"] > 1e6
    again = project.run("train.lr=0.2").step("train")
    estimate = again["estimate"]["time"]
    assert estimate["uncorrected"] == 2.0
    assert estimate["value"] == pytest.approx(first["actual"]["time"])
    assert estimate["basis"] == "from 1 earlier run"
    planned = {one.step.name: one for one in project.plan("train.lr=0.3").steps}["train"]
    assert planned.estimates[0].basis.startswith("from 2 earlier runs, ±")


def test_a_run_holds_name_tags_parent_recipe_packages_machine_and_metrics(project: Project) -> None:
    options = RunOptions(name="trial", tags=("good",), parent="3")
    run = project.run("train.lr=0.2", options=options)
    document = read_run(project.store, "trial").document
    assert document == json.loads((run.folder / "manifest.json").read_text())
    assert (document["tags"], document["parent"]) == (["good"], "3")
    assert document["overrides"] == ["train.lr=0.2"]
    assert document["config"]["train"]["lr"] == 0.2
    assert document["packages"]["pluggy"]
    assert document["machine"]["cores"] >= 1
    assert os.uname().nodename not in json.dumps({**document, "process": None})
    assert document["steps"][2]["metrics"] == {"loss": pytest.approx(1 / 3)}
    assert document["steps"][2]["inputs"] == {
        "model": document["steps"][1]["output"],
        "data": document["steps"][0]["output"],
    }


def test_the_record_is_there_while_a_step_runs(project: Project) -> None:
    seen: list[tuple[str, str]] = []

    def work(run: StepRun) -> Any:
        record = read_run(project.store, run.run)
        seen.append((record.status, record.step("data")["status"]))
        return written(run, "x")

    project.extra = [("look", Instead("data", work))]
    project.run()
    assert seen == [("running", "running")]


def test_a_run_is_running_for_others_until_every_plugin_has_seen_its_end(project: Project) -> None:
    seen: list[tuple[str, str]] = []

    def see(run: Any, event: events.Event) -> None:
        if isinstance(event, events.RunEnded):
            seen.append((run.document["status"], read_run(project.store, run.id).status))

    project.extra = [("report", Watch(see))]
    assert project.run().status == "done"
    assert seen == [("done", "running")]
    assert read_run(project.store, "1").status == "done"


def test_a_field_that_changes_no_output_never_runs_a_step_again(project: Project) -> None:
    project.run()
    again = project.run("deploy.replicas=2", "data.workers=3", "train.time_limit=60")
    assert [step["status"] for step in again.document["steps"]] == ["reused"] * 5 + ["done"]


def test_a_run_repeated_from_its_record_has_the_same_keys(project: Project, llmops: CommandLine) -> None:
    (project.folder / "rows.txt").write_text("some rows")
    first = project.run("data.rows=7", "data.source=rows.txt", "seed=11", "data.steps.share.share=0.5")
    project.write("recipe.yaml", "defaults: [base]\nabout: changed since\n")
    told = llmops("run", "--from", "1", "--json")
    assert told.returncode == 0, told.stderr
    again = json.loads(told.stdout)
    assert again["id"] == "2"
    assert [step["key"] for step in again["steps"]] == [step["key"] for step in first.document["steps"]]
    assert [step["status"] for step in again["steps"]] == ["reused"] * 5 + ["done"]


def test_an_input_that_vanishes_between_check_and_run_is_told(project: Project) -> None:
    source = project.write("rows.txt", "rows")
    runner = Runner(project.check("data.source=rows.txt"), project.plugins(), project.store)
    source.unlink()
    with pytest.raises(LlmopsError, match=r"rows\.txt"):
        runner.run()
    assert read_run(project.store, "1").step("data")["status"] == "failed"


def test_an_input_is_hashed_while_the_store_is_free(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("rows.txt", "rows")
    project.store.prepare()
    free: list[bool] = []
    from llmops_core import store as store_module

    def watched(path: Path) -> str:
        with project.store.lock(shared=False, wait=False) as mine:
            free.append(mine)
        return "0" * 64

    monkeypatch.setattr(store_module, "content_digest", watched)
    project.run("data.source=rows.txt")
    assert free and all(free[:1])


def test_one_step_in_process_costs_at_most_ten_milliseconds(project: Project) -> None:
    """The budget is measured in benchmarks/; here only a gross loss of it fails."""
    names = [f"data@copy{number}: fake" for number in range(10)]
    project.write("many.yaml", "defaults:\n  - base\n" + "".join(f"  - {name}\n" for name in names))
    recipe = project.check(recipe="./many.yaml")
    began = time.process_time()
    Runner(recipe, project.plugins(), project.store).run()
    spent = time.process_time() - began
    assert len(recipe.steps) == 10
    assert spent / 10 < 0.05, f"{spent / 10 * 1000:.1f} ms a step"


def test_what_a_step_downloaded_stands_beside_its_estimate(project: Project) -> None:
    content = b"rows" * 1000
    fsspec.filesystem("memory").pipe("/rows.txt", content)

    class Fetching:
        @hookimpl(wrapper=True)
        def llmops_run_step(self, step: Any, run: Any) -> Any:
            if step.name == "data":
                for _ in range(2):  # the second time it lies in the cache
                    run.fetch("memory://rows.txt", hashlib.sha256(content).hexdigest())
            return (yield)

    project.extra = [("fetching", Fetching())]
    manifest = project.run()
    assert manifest.step("data")["actual"]["download"] == len(content)
    assert manifest.step("model")["actual"]["download"] == 0
