"""Releases by name, from the core and through the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from llmops_core import releases as releases_module
from llmops_core.errors import StoreError, UsageError
from llmops_core.files import read_json, write_json
from llmops_core.releases import all_releases, find, open_release, register
from tests import processes
from tests.conftest import CommandLine, Project
from tests.stand_ins import outputs


def test_a_digest_keeps_its_name_and_another_gets_the_next(project: Project) -> None:
    project.run()
    project.run()
    project.run("train.lr=0.2")
    assert [(one.name, one.run) for one in all_releases(project.store)] == [("r-2", "3"), ("r-1", "1")]


def test_names_given_at_once_are_given_once_each(project: Project) -> None:
    project.store.prepare()

    def name(number: int) -> Callable[[], str]:
        return lambda: register(project.store, f"{number:064x}", "1")

    started = [processes.start(name(number % 4)) for number in range(8)]
    assert [processes.wait(process) for process in started] == [0] * 8
    found = all_releases(project.store)
    assert (
        sorted(int(one.name[2:]) for one in found) == [1, 2, 3, 4] or len({one.digest for one in found}) == 4
    )


def test_a_release_is_found_by_name_by_digest_and_as_the_latest(project: Project) -> None:
    run = project.run()
    digest = outputs(run)[4]
    for text in ("r-1", "latest", digest, digest[:6]):
        assert find(project.store, text).digest == digest
    for text in ("r-9", "abc", "zzzz", ""):
        with pytest.raises(UsageError, match=f"there is no release {text}"):
            find(project.store, text)
    register(project.store, digest[:10] + "0" * 54, "1")
    with pytest.raises(UsageError, match="is the start of 2 releases"):
        find(project.store, digest[:10])


def test_a_release_record_of_a_newer_format_is_refused_and_an_older_one_migrated(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run()
    path = project.store.root / "releases" / "r-1.json"
    write_json(path, {**read_json(path), "format": 2})
    with pytest.raises(
        StoreError, match="the release r-1 has format 2; this release of llmops reads up to 1"
    ):
        all_releases(project.store)
    monkeypatch.setattr(releases_module, "FORMAT", 3)
    monkeypatch.setitem(releases_module.RELEASE_MIGRATIONS, 2, lambda old: {**old, "run": "99"})
    assert all_releases(project.store)[0].run == "99"
    path.write_text("[]")
    with pytest.raises(StoreError, match=r"r-1\.json is damaged"):
        all_releases(project.store)


def test_only_a_release_with_passed_gates_is_opened(project: Project) -> None:
    run = project.run()
    assert open_release(project.store, outputs(run)[4]).digest == outputs(run)[4]
    with pytest.raises(StoreError, match="is a Model, not a release"):
        open_release(project.store, outputs(run)[2])


def test_the_commands_tell_what_is_and_was_live(project: Project, llmops: CommandLine) -> None:
    before = datetime.now(UTC)
    assert llmops("releases").stdout == "no releases yet\n"
    for lr in ("0.1", "0.2"):
        words = ("deploy.keep=true", f"train.lr={lr}")
        assert processes.wait(processes.start(lambda words=words: project.run(*words))) == 0
    try:
        rows = json.loads(llmops("releases", "--json").stdout)
        assert [(row["release"], row["live"]) for row in rows] == [("r-2", "live in dev"), ("r-1", "")]
        history = json.loads(llmops("releases", "history", "--json").stdout)
        assert [(row["release"], row["by"], row["reason"]) for row in history] == [
            ("r-2", "deploy by run 2", ""),
            ("r-1", "deploy by run 1", "replaced by r-2"),
        ]
        assert history[0]["live"].endswith("-> now")
        later = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        assert [row["release"] for row in json.loads(llmops("releases", "at", later, "--json").stdout)] == [
            "r-2"
        ]
        earlier = llmops("releases", "at", before.strftime("%Y-%m-%dT%H:%M"), "--env", "dev")
        assert earlier.stdout.startswith("nothing was live at ")
        assert "r-2 live" not in earlier.stdout
        wrong = llmops("releases", "at", "yesterday")
        assert wrong.returncode == 2 and "'yesterday' is not a time" in wrong.stderr
        shown = llmops("releases", "show", "r-1").stdout
        assert "gate accuracy" in shown and "passed" in shown and "tuned from" in shown
    finally:
        llmops("releases", "stop")
