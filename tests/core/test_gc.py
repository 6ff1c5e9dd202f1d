"""gc takes what nothing holds, and never what something does, whatever runs beside it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from llmops_core import events
from llmops_core import gc as gc_module
from llmops_core.errors import StoreError
from llmops_core.files import write_json
from llmops_core.gc import Garbage, collect
from llmops_core.hookspecs import hookimpl
from llmops_core.manifest import read_run, remove_run
from llmops_core.runner import RunOptions
from llmops_core.store import Store
from tests import processes
from tests.conftest import CommandLine, Project
from tests.stand_ins import outputs


def artifacts(project: Project) -> set[str]:
    return {path.name for path in (project.store.root / "artifacts").iterdir()}


def test_what_the_latest_finished_run_used_stays_and_older_goes(project: Project) -> None:

    with pytest.raises(Exception, match="below"):
        project.run("data.rows=3", "release.at_least=0.9")
    new = project.run()
    before = artifacts(project)
    found = collect(project.store, dry_run=True)
    assert artifacts(project) == before
    assert {one.what for one in found} == {"artifact", "key"}
    assert [one.path for one in collect(project.store)] == [one.path for one in found]
    assert artifacts(project) == {step["output"] for step in new.document["steps"]}
    assert [step["status"] for step in project.run().document["steps"]][:5] == ["reused"] * 5
    assert collect(project.store) == []


def test_a_later_run_that_failed_early_does_not_give_up_the_finished_one(project: Project) -> None:
    done = project.run()
    with pytest.raises(Exception, match="broken"):
        project.run("data.rows=9", "data.fail=broken")
    collect(project.store)
    assert set(outputs(done)) <= artifacts(project)


def test_releases_deployments_and_tags_are_kept_even_when_all_goes(project: Project) -> None:
    released = project.run("deploy.keep=false")
    with pytest.raises(Exception, match="below"):
        project.run("data.rows=3", "release.at_least=0.9", options=RunOptions(tags=("good",)))
    tagged = read_run(project.store, "2")
    with pytest.raises(Exception, match="below"):
        project.run("data.rows=5", "release.at_least=0.9")
    loose = read_run(project.store, "3")
    collect(project.store, keep_latest=False)
    left = artifacts(project)
    assert {step["output"] for step in released.document["steps"][1:5]} <= left
    assert {one for one in outputs(tagged) if one} <= left
    assert outputs(loose)[0] not in left
    assert project.store.is_whole(outputs(released)[4])
    remove_run(project.store, "2")
    collect(project.store, keep_latest=False)
    assert outputs(tagged)[0] not in artifacts(project)


def test_gc_at_every_moment_of_a_running_run_takes_nothing_that_it_needs(project: Project) -> None:
    """Between its publishing and its recording too: gc runs at each event and around each record."""

    class Gc:
        @hookimpl
        def llmops_event(self, run: Any, event: events.Event) -> None:
            collect(project.store, keep_latest=False)

    project.extra = [("gc", Gc())]
    first = project.run()
    assert not first.document.get("warnings")
    again = project.run()
    assert again.status == "done"
    assert outputs(again) == outputs(first)
    assert all(project.store.is_whole(one) for one in outputs(again))


def test_gc_between_publishing_and_recording_leaves_the_artifact(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Store.record

    def late(self: Store, stage: str, key: str, entry: Any) -> str:
        assert processes.wait(processes.start(look)) == 0
        return record(self, stage, key, entry)

    def look() -> None:
        # another process cannot even get in while the record is written; before that, the hold counts
        with project.store.lock(shared=False, wait=False) as mine:
            assert not mine

    monkeypatch.setattr(Store, "record", late)
    publish = Store.publish

    def then_gc(self: Store, artifact: Any, temporary: Path, run: str = "") -> Any:
        made = publish(self, artifact, temporary, run)
        assert processes.wait(processes.start(lambda: collect(project.store, keep_latest=False))) == 0
        assert self.is_whole(made.digest)
        return made

    monkeypatch.setattr(Store, "publish", then_gc)
    assert project.run().status == "done"
    assert not list((project.store.root / "holds").iterdir())


def test_gc_between_the_look_into_the_store_and_the_record_makes_the_step_run_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="below"):
        project.run("release.at_least=0.9")
    remove_run(project.store, "1")
    lookup, once = Store.lookup, []

    def then_gc(self: Store, stage: str, key: str) -> str:
        found = lookup(self, stage, key)
        if stage == "model" and found and not once:
            once.append(found)
            collect(project.store, keep_latest=False)
            assert not self.is_whole(found)
        return found

    monkeypatch.setattr(Store, "lookup", then_gc)
    run = project.run()
    assert once and run.step("model")["status"] == "done"
    assert run.step("model")["output"] == once[0]


def test_gc_in_another_process_beside_runs_leaves_every_run_whole(project: Project) -> None:
    def sweep() -> None:
        limit = time.monotonic() + 2
        while time.monotonic() < limit:
            collect(project.store, keep_latest=False)

    project.store.prepare()
    sweeper = processes.start(sweep)
    for rows in range(6):
        run = project.run(f"data.rows={rows}", "release.at_least=0")
        assert run.status == "done"
        assert all(project.store.is_whole(one) for one in outputs(run)[1:])
    assert processes.wait(sweeper) == 0


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(project: Project) -> None:
    project.store.prepare()

    def die() -> None:
        project.store.temporary("dead")
        os.kill(os.getpid(), signal.SIGKILL)

    processes.wait(processes.start(die))
    mine = project.store.temporary("mine")
    nobody = project.store.root / "tmp" / "no-owner"
    nobody.mkdir()
    assert [one.what for one in collect(project.store)] == ["unfinished"]
    assert mine.is_dir() and nobody.is_dir()
    os.utime(nobody, (1, 1))
    assert [one.path for one in collect(project.store)] == [nobody]


def test_what_unfinished_steps_kept_stays_as_long_as_their_run_may_go_on(project: Project) -> None:
    with pytest.raises(Exception, match="broken"):
        project.run("data.fail=broken")
    run = read_run(project.store, "1")
    scratch = project.store.root / "scratch" / run.step("data")["key"]
    scratch.mkdir(parents=True)
    (scratch / "checkpoint").write_text("x" * 10)
    assert collect(project.store) == []
    with project.store.scratch(scratch.name):
        assert collect(project.store, keep_latest=False) == [], "a running step has it"
    assert [(one.what, one.size) for one in collect(project.store, keep_latest=False)] == [("scratch", 10)]
    assert not scratch.exists()


def test_a_damaged_record_of_a_run_stops_gc_and_says_how_to_go_on(
    project: Project, llmops: CommandLine
) -> None:
    project.run()
    (project.store.root / "runs" / "1" / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"what run 1 holds is not known: .*llmops runs rm 1"):
        collect(project.store)
    assert llmops("runs", "rm", "1").returncode == 0
    assert collect(project.store)


def test_a_gc_that_was_killed_is_finished_by_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("data.rows=3")
    remove_run(project.store, "1")

    def work(number: int) -> None:
        processes.die_at(number, project.store.root)
        collect(project.store, keep_latest=False)

    for number in range(1, 60, 3):
        processes.wait(processes.start(lambda number=number: work(number)))
        assert not any(wrong for _, wrong in project.store.verify())
    for place in (project.store.root / "tmp").iterdir():
        os.utime(place, (1, 1))
    collect(project.store, keep_latest=False)
    assert collect(project.store, keep_latest=False) == []


def test_the_command_lists_before_it_removes(project: Project, llmops: CommandLine) -> None:
    with pytest.raises(Exception, match="below"):
        project.run("release.at_least=0.9")
    told = llmops("store", "gc", "--all", "--dry-run")
    assert told.stdout.splitlines()[-1].startswith("would free ")
    assert llmops("store", "gc", "--all").stdout.splitlines()[-1].startswith("freed ")
    assert llmops("store", "verify").stdout == "0 artifacts, 0 damaged\n"


def test_without_a_store_nothing_is_removed_and_none_is_made(project: Project, llmops: CommandLine) -> None:
    assert llmops("store", "gc").stdout == "freed 0 B\n"
    assert llmops("runs").stdout == "no runs yet\n"
    assert not project.store.root.exists()


def test_scratch_that_a_step_took_up_after_it_was_found_stays(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = project.store
    store.prepare()
    kept = store.root / "scratch" / ("a" * 64)
    kept.mkdir(parents=True)
    (kept / "checkpoint").write_text("half")
    found = [Garbage(kept, "scratch", 4)]
    monkeypatch.setattr(gc_module, "_scratch", lambda store, kept: found)
    with store.scratch("a" * 64):
        collect(store)
        assert (kept / "checkpoint").read_text() == "half"
    collect(store)
    assert not kept.exists()


def test_a_tagged_dataset_is_kept_and_what_steps_kept_long_ago_goes(project: Project) -> None:
    done = project.run()
    dataset = done.step("data")["output"]
    write_json(project.store.root / "tags" / "best.json", {"digest": dataset})
    remove_run(project.store, "1")
    for name, age in (("old", 15), ("young", 1)):
        entry = project.store.root / "cache" / "data" / name / "entry.json"
        write_json(entry, {})
        used = time.time() - age * 24 * 3600
        os.utime(entry, (used, used))
    for release in (project.store.root / "releases").glob("*.json"):
        release.unlink()
    (project.store.root / "deployments.jsonl").unlink()
    collect(project.store)
    assert artifacts(project) == {dataset}
    assert [place.name for place in (project.store.root / "cache" / "data").iterdir()] == ["young"]
    collect(project.store, keep_latest=False)
    assert list((project.store.root / "cache" / "data").iterdir()) == []
