"""Records of runs: numbers, formats, damage, removal."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

import pytest

from llmops_core import manifest as manifest_module
from llmops_core.errors import StoreError, UsageError
from llmops_core.files import read_json, write_json
from llmops_core.manifest import all_runs, git_state, new_run, package_versions, read_run, remove_run
from llmops_core.runner import RunOptions
from llmops_core.secrets import Secrets
from llmops_core.store import Store
from tests import processes
from tests.conftest import CommandLine, Project


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.prepare()
    return found


def fresh(store: Store) -> str:
    return new_run(store, {"recipe": "x", "steps": []}, Secrets()).id


def test_runs_that_begin_at_once_get_numbers_of_their_own(store: Store) -> None:
    started = [processes.start(lambda: fresh(store)) for _ in range(8)]
    assert [processes.wait(process) for process in started] == [0] * 8
    assert [run.id for run in all_runs(store)] == [str(number) for number in range(8, 0, -1)]
    assert {run.status for run in all_runs(store)} == {"killed"}


def test_the_number_of_a_removed_run_is_never_given_again(store: Store) -> None:
    for _ in range(3):
        run = new_run(store, {"recipe": "x", "steps": []}, Secrets())
        run.document["status"] = "done"
        run.save()
    assert [remove_run(store, number) for number in ("3", "1")] == ["3", "1"]
    assert fresh(store) == "4"


def test_a_running_run_is_only_removed_by_force(store: Store) -> None:
    number = fresh(store)
    with pytest.raises(UsageError, match=r"run 1 is running\. Stop it first"):
        remove_run(store, number)
    assert remove_run(store, number, force=True) == "1"
    assert all_runs(store) == []


def test_a_run_is_found_by_number_and_by_name_the_newest_first(project: Project) -> None:
    for _ in range(2):
        project.run(options=RunOptions(name="trial"))
    assert read_run(project.store, "trial").id == "2"
    assert read_run(project.store, "1").id == "1"
    assert read_run(project.store, "latest").id == "2"
    for wrong in ("3", "nobody", "../1", "", "0001x"):
        with pytest.raises(UsageError, match="there is no run"):
            read_run(project.store, wrong)


def test_a_number_that_was_taken_and_never_written_is_passed_over(store: Store) -> None:
    (store.root / "runs" / "7").mkdir(parents=True)
    assert all_runs(store) == []
    assert fresh(store) == "8"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"steps": 3}'])
def test_a_damaged_record_stands_in_the_list_as_damaged(
    project: Project, llmops: CommandLine, text: str
) -> None:
    project.run()
    (project.store.root / "runs" / "1" / "manifest.json").write_text(text)
    assert [run.status for run in all_runs(project.store)] == ["damaged"]
    with pytest.raises(StoreError, match="damaged"):
        read_run(project.store, "1")
    assert project.run().status == "done"
    if text == "{":
        assert [line.split()[:2] for line in llmops("runs").stdout.splitlines()] == [
            ["2", "done"],
            ["1", "damaged"],
        ]


def test_a_record_of_a_newer_release_is_refused_and_an_older_one_migrated(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = project.run()
    path = run.folder / "manifest.json"
    write_json(path, {**read_json(path), "format": 2})
    with pytest.raises(
        StoreError, match="the record of run 1 has format 2; this release of llmops reads up to 1"
    ):
        read_run(project.store, "1")
    monkeypatch.setattr(manifest_module, "FORMAT", 3)
    monkeypatch.setitem(manifest_module.MANIFEST_MIGRATIONS, 2, lambda old: {**old, "name": "migrated"})
    assert read_run(project.store, "1").document["name"] == "migrated"
    assert read_run(project.store, "migrated").document["format"] == 3


def test_a_folder_that_is_no_runs_is_passed_over(store: Store) -> None:
    first = fresh(store)
    for name in ("²", "notes", "1.old"):
        (store.root / "runs" / name).mkdir()
    assert [run.id for run in all_runs(store)] == [first]
    assert fresh(store) == str(int(first) + 1)


def test_a_run_on_another_machine_counts_as_running(store: Store) -> None:
    path = store.root / "runs" / fresh(store) / "manifest.json"
    document = read_json(path)
    write_json(path, {**document, "process": {"id": 1, "mark": "elsewhere boot 5"}})
    assert read_run(store, "1").status == "running"
    write_json(path, {**document, "process": {"id": os.getpid(), "mark": f"{document['process']['mark']}9"}})
    assert read_run(store, "1").status == "killed"


def test_the_commit_is_kept_and_whether_something_is_not_committed(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    folder = tmp_path / "repository"

    def git(*words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    folder.mkdir()
    git("init", "-q")
    assert git_state(folder) is None
    (folder / "recipe.yaml").write_text("a")
    git("add", ".")
    git("commit", "-qm", "first")
    assert git_state(folder) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (folder / "recipe.yaml").write_text("b")
    assert git_state(folder) == {"commit": git("rev-parse", "HEAD"), "dirty": True}


def test_versions_are_those_of_the_installed_packages() -> None:
    import pluggy

    assert package_versions()["pluggy"] == pluggy.__version__


def test_the_record_is_valid_json_at_every_moment(project: Project) -> None:
    child = processes.start(lambda: project.run("train.pause=0.3"))
    path, seen = project.store.root / "runs" / "1" / "manifest.json", 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if path.exists():
            json.loads(path.read_text())
            seen += 1
    assert seen > 10


def test_a_record_is_json_that_every_program_reads_whatever_was_measured(project: Project) -> None:
    run = project.run()
    run.step("train")["metrics"] = {"loss": math.nan, "peak": [math.inf, 1.5]}
    run.save()

    def odd(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found = json.loads((run.folder / "manifest.json").read_text(), parse_constant=odd)
    (train,) = (step for step in found["steps"] if step["name"] == "train")
    assert train["metrics"] == {"loss": None, "peak": [None, 1.5]}
