"""Trackers hear of a run, cannot slow or fail it, and change no key."""

from __future__ import annotations

import importlib
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_core import events, tracked
from llmops_core.errors import GateRefused, RecipeError
from llmops_core.hookspecs import Implementation, hookimpl
from llmops_core.manifest import Manifest
from llmops_core.rollback import rollback
from llmops_core.settings import setting
from llmops_core.tracked import Ended, Live, Output, Point, TrackedRelease, TrackedRun
from llmops_core.tracking import follow
from tests.conftest import Project


@dataclass(frozen=True)
class Notes:
    """A tracker that remembers."""

    place: str = setting("here", doc="Where to.", output=False)
    key: str | None = setting(None, doc="A secret.", secret=True, output=False)
    wait: float = setting(5.0, doc="How long to wait.", unit="seconds", output=False)


@dataclass
class Notebook:
    """What one run told."""

    run: TrackedRun
    config: Notes
    heard: list[Any] = field(default_factory=list)
    address: str = "page 1"
    points_hook: Callable[[Sequence[Point]], None] = field(default=lambda points: None)

    def points(self, points: Sequence[Point]) -> None:
        self.points_hook(points)
        self.heard += points

    def output(self, output: Output) -> None:
        self.heard.append(output)

    def released(self, release: TrackedRelease) -> None:
        self.heard.append(release)

    def live(self, live: Live) -> None:
        self.heard.append(live)

    def end(self, ended: Ended) -> None:
        self.heard.append(ended)

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.heard if isinstance(one, kind)]


BOOKS: list[Notebook] = []
POINTS: list[Callable[[Sequence[Point]], None]] = []


def start(config: Notes, run: TrackedRun) -> Notebook:
    if config.key:
        run.secret(config.key)
    if config.place == "nowhere":
        raise ConnectionError("nobody answers")
    book = Notebook(run, config)
    if POINTS:
        book.points_hook = POINTS[0]
    BOOKS.append(book)
    return book


NOTES = Implementation("track", "notes", f"{__name__}:Notes", f"{__name__}:start")
ABSENT = Implementation(
    "track",
    "absent",
    f"{__name__}:Notes",
    f"{__name__}:start",
    needs=("no_such_module",),
    extra="acme[notes]",
)


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    return [NOTES, ABSENT]


@hookimpl(trylast=True)
def llmops_event(run: Manifest, event: events.Event) -> None:
    follow(NOTES, run, event)


PLUGIN = SimpleNamespace(llmops_implementations=llmops_implementations, llmops_event=llmops_event)


@pytest.fixture
def books(project: Project) -> Any:
    BOOKS.clear()
    POINTS.clear()
    project.extra = [("notes", PLUGIN)]
    yield BOOKS
    assert "llmops-track" not in {thread.name for thread in threading.enumerate() if thread.is_alive()}


def test_a_tracker_hears_everything_in_the_order_it_happened(project: Project, books: list[Notebook]) -> None:
    run = project.run("track=notes", "train.lr=0.5")
    (book,) = books
    kinds = [type(one).__name__ for one in book.heard if not isinstance(one, Output)]
    assert kinds == ["Point", "Point", "Point", "TrackedRelease", "Live", "Ended"]
    assert [(one.step, one.name, one.at) for one in book.of(Point)] == [
        ("train", "loss", 0),
        ("train", "loss", 1),
        ("train", "loss", 2),
    ]
    assert book.run.parameters["train.lr"] == 0.5
    assert book.run.parameters["train.tuning.use"] == "small"
    assert not any(name.startswith("track.") for name in book.run.parameters)
    assert book.run.tags["llmops.run"] == run.id
    outputs = {one.step: one for one in book.of(Output)}
    assert outputs["data"].digest == run.step("data")["output"]
    assert (outputs["data"].folder / "train.jsonl").is_file()
    assert outputs["evaluate"].scores == {"accuracy": 0.5}
    (ended,) = book.of(Ended)
    assert ended.status == "done" and ended.report is not None
    assert [step["name"] for step in ended.steps] == [step["name"] for step in run.document["steps"]]
    assert run.document["tracked"] == {"notes": "page 1"}


def test_a_reused_step_is_told_with_its_scores_again(project: Project, books: list[Notebook]) -> None:
    project.run()
    project.run("track=notes")
    (book,) = books
    assert not book.of(Point)
    assert {one.step: one.reused for one in book.of(Output)} == {
        "data": True,
        "model": True,
        "train": True,
        "evaluate": True,
        "release": True,
        "deploy": False,
    }
    assert book.of(TrackedRelease)[0].run == "1"


def test_how_a_run_ended_is_told(project: Project, books: list[Notebook]) -> None:
    with pytest.raises(Exception, match="out of order"):
        project.run("track=notes", "data.fail=out of order")
    with pytest.raises(GateRefused):
        project.run("track=notes", "release.at_least=0.9")
    ended = [book.of(Ended)[0] for book in books]
    assert [one.status for one in ended] == ["failed", "refused"]
    assert "out of order" in ended[0].error


@pytest.mark.parametrize(
    "lines",
    [
        "  - track: notes\n  - _self_\n",
        "  - _self_\ntrack:\n  notes: {}\n",
        "  - _self_\ntrack: {any: {use: notes}}\n",
    ],
)
def test_a_recipe_names_its_tracker(project: Project, books: list[Notebook], lines: str) -> None:
    recipe = (project.folder / "recipe.yaml").read_text()
    project.write("recipe.yaml", recipe.replace("  - _self_\n", lines))
    project.run("seed=8")
    assert len(books) == 1
    project.run("~track")
    assert len(books) == 1


def test_two_trackers_of_a_kind_stand_side_by_side(project: Project, books: list[Notebook]) -> None:
    project.run("track=notes", "track.notes.place=a", "track.other={use: notes, place: b}")
    assert sorted(book.config.place for book in books) == ["a", "b"]


def test_a_wrong_tracker_is_told_with_place_and_remedy(project: Project, books: list[Notebook]) -> None:
    problems = project.problems("track.notes.plaec=x", "track.notse={}")
    told = {one.where: f"{one.what} {one.remedy}" for one in problems}
    assert "track.notes.place" in told["track.notes.plaec"]
    assert "no installed plugin offers track=notse" in told["track.notse"]
    (problem,) = project.problems("track=nots")
    assert "Did you mean notes?" in problem.remedy


def test_a_tracker_whose_client_is_missing_names_what_brings_it(
    project: Project, books: list[Notebook]
) -> None:
    (problem,) = project.problems("track=absent")
    assert (problem.where, problem.remedy) == ("track.absent", "pip install 'acme[notes]'")
    assert "no_such_module" in problem.what


def test_tracking_changes_no_key(project: Project, books: list[Notebook]) -> None:
    project.run()
    second = project.run("track=notes", "track.notes.place=elsewhere")
    assert [step["status"] for step in second.document["steps"]] == ["reused"] * 5 + ["done"]


def test_a_tracker_that_cannot_start_is_told_once_and_fails_nothing(
    project: Project, books: list[Notebook]
) -> None:
    run = project.run("track=notes", "track.notes.place=nowhere")
    assert run.document["status"] == "done"
    (warning,) = run.document["warnings"]
    assert "notes" in warning and "ConnectionError: nobody answers" in warning


def test_several_failures_are_each_told(project: Project, books: list[Notebook]) -> None:
    where = "track.b={use: notes, place: nowhere}"
    run = project.run("track=notes", "track.notes.key=${secret:NOT_SET_HERE}", where)
    warnings = " ".join(run.document["warnings"])
    assert "nobody answers" in warnings and "NOT_SET_HERE is not set" in warnings


def test_numbers_that_fail_once_are_sent_again(project: Project, books: list[Notebook]) -> None:
    tries: list[int] = []

    def fail_first(points: Sequence[Point]) -> None:
        tries.append(len(points))
        if len(tries) == 1:
            raise TimeoutError("busy")

    POINTS.append(fail_first)
    run = project.run("track=notes")
    assert [one.at for one in books[0].of(Point)] == [0, 1, 2]
    assert any("busy" in text for text in run.document["warnings"])


def test_numbers_that_are_never_taken_are_counted(project: Project, books: list[Notebook]) -> None:
    def fail(points: Sequence[Point]) -> None:
        raise TimeoutError("busy")

    POINTS.append(fail)
    run = project.run("track=notes")
    assert run.document["status"] == "done"
    assert any("3 numbers could not be recorded" in text for text in run.document["warnings"])


def test_a_slow_tracker_slows_no_step_and_is_waited_for_only_so_long(
    project: Project, books: list[Notebook]
) -> None:
    free = threading.Event()
    POINTS.append(lambda points: free.wait(30) and None)
    began = time.monotonic()
    run = project.run("track=notes", "track.notes.wait=0.2")
    seconds = time.monotonic() - began
    free.set()
    for thread in threading.enumerate():
        if thread.name == "llmops-track":
            thread.join(10)
    assert seconds < 10
    assert sum(step.get("seconds", 0) for step in run.document["steps"]) < 5
    assert any("not everything was recorded within 0.2 s" in text for text in run.document["warnings"])


def test_no_secret_reaches_a_tracker(
    project: Project, books: list[Notebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_TOKEN", "correct-horse-battery")
    with pytest.raises(Exception, match="cannot log in"):
        project.run("track=notes", "data.token=${secret:DATA_TOKEN}", "data.fail=secret")
    (book,) = books
    assert book.run.parameters["data.token"] == "${secret:DATA_TOKEN}"
    assert "correct-horse-battery" not in repr((book.run, book.heard))


def test_a_rollback_is_recorded_where_its_deployment_was(project: Project, books: list[Notebook]) -> None:
    project.run("track=notes", "deploy.keep=true")
    project.run("track=notes", "deploy.keep=true", "model.size=20")
    try:
        rolled = rollback(project.store, "dev", project.plugins())
        assert books[2].run.recipe == "recipe" and books[2].run.title == f"rollback {rolled.id}"
        (live,) = books[2].of(Live)
        assert live.live and live.release.name == "r-1"
        second = books[1].of(Live)[0].release.digest
        assert "replaced by r-1" in live.told[second]
    finally:
        from llmops_core.live import stop_environment

        stop_environment(project.store, "dev", project.plugins())


def test_a_deployment_that_did_not_come_up_tells_what_is_live(
    project: Project, books: list[Notebook]
) -> None:
    project.run("deploy.keep=true")
    try:
        with pytest.raises(Exception, match="no port"):
            project.run("track=notes", "model.size=20", "deploy.fail=no port")
        (live,) = books[0].of(Live)
        assert live.release.name == "r-1" and live.live
    finally:
        from llmops_core.live import stop_environment

        stop_environment(project.store, "dev", project.plugins())


def test_a_group_beside_the_stages_is_no_stage(project: Project) -> None:
    stray = Implementation("watch", "notes", f"{__name__}:Notes", f"{__name__}:start")
    project.extra = [("stray", SimpleNamespace(llmops_implementations=hookimpl(lambda: [stray])))]
    with pytest.raises(RecipeError, match="watch=notes belongs to no stage"):
        project.check()


def test_the_tracker_in_the_documents_works_as_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "track-runs.md"
    (code,) = re.findall(r"^```python\n# acme_notes/plugin.py\n(.*?)^```", page.read_text(), re.M | re.S)
    project.write("site/acme_notes/plugin.py", code)
    project.write("site/acme_notes/__init__.py", "")
    monkeypatch.syspath_prepend(str(project.folder / "site"))
    project.extra = [("acme", importlib.import_module("acme_notes.plugin"))]
    run = project.run("track=notes")
    assert (project.folder / "notes.txt").read_text() == f"recipe {run.id}: done\n"
    assert run.document.get("warnings", []) == []


def test_a_record_is_closed_even_when_what_a_step_gave_is_gone(project: Project) -> None:
    run = project.run()
    shutil.rmtree(run.artifact(run.step("data")["output"]).folder.parent)
    steps = {step["name"]: step for step in tracked.ended(run, events.RunEnded()).steps}
    assert "folder" not in steps["data"] and Path(steps["train"]["folder"]).is_dir()
