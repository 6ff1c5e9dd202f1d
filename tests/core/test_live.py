"""Deploying: alone in an environment, put back on failure, stopped, rolled back, journalled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llmops_core import live as live_module
from llmops_core import plugins as plugin_module
from llmops_core import worker as worker_module
from llmops_core.cli import _status
from llmops_core.errors import LlmopsError, LockedError, StepError, StoreError, UsageError
from llmops_core.hookspecs import Implementation
from llmops_core.journal import Deployment, Journal
from llmops_core.live import stop_environment
from llmops_core.manifest import all_runs, read_run
from llmops_core.processes import is_gone, process_mark
from llmops_core.rollback import rollback
from llmops_core.secrets import Secrets, redacted_streams
from llmops_core.settings import setting
from tests import processes
from tests.conftest import CommandLine, Project
from tests.stand_ins import until


@pytest.fixture(autouse=True)
def nothing_stays_up(project: Project) -> Iterator[None]:
    yield
    for one in Journal(project.store.root, lambda text: None).history():
        if one.live and one.process:
            os.kill(one.process, signal.SIGKILL)


def history(project: Project) -> list[Deployment]:
    return list(Journal(project.store.root, lambda text: None).history())


def alive(process: int) -> bool:
    mark = process_mark(process)
    return bool(mark) and not is_gone(process, mark)


def test_a_deployment_that_stays_up_is_live_and_one_that_does_not_is_ended(project: Project) -> None:
    project.run()
    (first,) = history(project)
    assert (first.live, first.reason, first.release, first.run) == (
        False,
        "stopped after its probe",
        "r-1",
        "1",
    )
    project.run("deploy.keep=true")
    _, second = history(project)
    assert second.live and alive(second.process)
    assert not list((project.store.root / "tmp").iterdir())


def test_deploying_stops_what_was_live(project: Project) -> None:
    project.run("deploy.keep=true")
    project.run("deploy.keep=true", "train.lr=0.3")
    old, new = history(project)
    assert (old.reason, old.live, alive(old.process)) == ("replaced by r-2", False, False)
    assert new.live and alive(new.process)


def test_environments_do_not_touch_each_other(project: Project) -> None:
    project.write("conf/env/prod.yaml", "{}\n")
    project.run("deploy.keep=true")
    project.run("deploy.keep=true", "env=prod")
    assert [(one.environment, one.live) for one in history(project)] == [("dev", True), ("prod", True)]


def test_when_the_new_one_does_not_come_up_the_old_one_is_put_back(project: Project) -> None:
    project.run("deploy.keep=true")
    with pytest.raises(StepError, match="deploy: RuntimeError: no port"):
        project.run("deploy.keep=true", "train.lr=0.3", "deploy.fail=no port")
    old, back = history(project)
    assert not alive(old.process) and alive(back.process)
    assert (back.release, back.action, back.run, back.live) == ("r-1", "rollback", "2", True)
    assert "r-1 was put back" in read_run(project.store, "2").step("deploy")["warnings"]
    project.run("deploy.keep=true", "train.lr=0.3")
    assert [one.release for one in history(project) if one.live] == ["r-2"]


def test_when_that_fails_too_both_are_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("deploy.keep=true")
    monkeypatch.setattr("os.posix_spawnp", None)
    with pytest.raises(StepError, match="no port"):
        project.run("deploy.keep=true", "deploy.fail=no port")
    (warning,) = read_run(project.store, "2").step("deploy")["warnings"]
    assert warning.startswith("r-1 could not be put back, nothing is live in dev: ")
    assert not any(one.live for one in history(project))


def test_what_cannot_be_noted_is_stopped_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def full(self: Journal, deployment: Deployment, at: Any = None) -> Deployment:
        started.append(deployment.process)
        raise StoreError("the disk is full")

    monkeypatch.setattr(Journal, "went_live", full)
    with pytest.raises(StoreError, match="the disk is full"):
        project.run("deploy.keep=true")
    assert started[0] and not alive(started[0])


def test_what_cannot_be_stored_is_stopped_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    publish = type(project.store).publish

    def full(self: Any, artifact: Any, temporary: Path, run: str = "") -> Any:
        if getattr(artifact, "process", 0):
            started.append(artifact.process)
            raise StoreError("the disk is full")
        return publish(self, artifact, temporary, run)

    monkeypatch.setattr(type(project.store), "publish", full)
    with pytest.raises(StoreError, match="the disk is full"):
        project.run("deploy.keep=true")
    assert started[0] and not alive(started[0])


def test_a_deployment_killed_half_way_leaves_a_journal_that_says_so(project: Project) -> None:
    project.run("deploy.keep=true")
    child = processes.start(lambda: project.run("deploy.keep=true", "deploy.pause=20", "train.lr=0.3"))
    until(lambda: not history(project)[0].live)
    assert processes.kill_after(child, 0.1) == -signal.SIGKILL
    (old,) = history(project)
    assert (old.live, old.reason) == (False, "replaced by r-2")
    project.run("deploy.keep=true", "train.lr=0.3")
    assert [(one.release, one.live) for one in history(project)] == [("r-1", False), ("r-2", True)]


def test_a_server_that_died_by_itself_is_not_live_and_can_be_replaced(project: Project) -> None:
    project.run("deploy.keep=true")
    (first,) = history(project)
    os.kill(first.process, signal.SIGKILL)
    os.waitpid(first.process, 0)
    assert stop_environment(project.store, "dev", project.plugins()) is None
    project.run("deploy.keep=true")
    first, second = history(project)
    assert (first.live, second.live) == (False, True)


def test_stopping_says_what_was_stopped_and_a_second_time_that_nothing_is_live(
    project: Project, llmops: CommandLine
) -> None:
    assert llmops("releases", "stop").stdout == "nothing is live in dev\n"
    assert not project.store.root.exists(), "looking makes no store"
    child = processes.start(lambda: project.run("deploy.keep=true"))
    assert processes.wait(child) == 0
    (live,) = history(project)
    assert llmops("releases", "stop").stdout == "stopped r-1 in dev\n"
    until(lambda: not alive(live.process))
    assert llmops("releases", "stop").stdout == "nothing is live in dev\n"


def test_what_cannot_be_stopped_is_not_said_to_be(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run("deploy.keep=true")
    plugins = project.plugins()
    fake = plugins.implementations[("deploy", "fake")]
    import dataclasses

    plugins.implementations[("deploy", "fake")] = dataclasses.replace(fake, undo="")
    with pytest.raises(StepError, match=r"fake does not say how to stop process \d+\. Stop it: kill \d+"):
        stop_environment(project.store, "dev", plugins)
    del plugins.implementations[("deploy", "fake")]
    with pytest.raises(LlmopsError, match="no installed plugin offers deploy=fake"):
        stop_environment(project.store, "dev", plugins)
    assert history(project)[0].live


def test_an_environment_held_by_a_server_in_the_foreground_is_refused_at_once(project: Project) -> None:
    project.run()
    began = time.monotonic()
    held = Journal(project.store.root).lock("dev", live_module.FOREGROUND)
    with held, pytest.raises(LockedError, match="environment dev is held by llmops serve"):
        project.run()
    assert time.monotonic() - began < 10
    assert read_run(project.store, "2").step("release")["status"] == "reused"


def test_another_run_that_deploys_is_waited_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run()
    child = processes.start(lambda: project.run("deploy.pause=0.6"))
    until(lambda: len(all_runs(project.store)) == 2 and run_state(project, "2") == "running")
    assert project.run().status == "done"
    assert processes.wait(child) == 0
    monkeypatch.setattr(live_module, "PATIENCE", 0.2)
    with (
        Journal(project.store.root).lock("dev", "run 99"),
        pytest.raises(LockedError, match="held by run 99"),
    ):
        project.run()


def run_state(project: Project, run: str) -> str:
    return str(read_run(project.store, run).step("deploy")["status"])


def test_a_release_whose_bytes_changed_is_not_served(project: Project) -> None:
    run = project.run("deploy.keep=true")
    weights = project.store.open(run.step("train")["output"]).folder / "weights"
    kept = weights.stat()
    weights.write_bytes(b"X" + weights.read_bytes()[1:])
    os.utime(weights, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    with pytest.raises(StoreError, match=r"the release \w{12} is damaged: .*weights was changed"):
        project.run("deploy.keep=true")
    assert history(project)[0].live, "what is live is left alone"


def test_a_rollback_puts_the_previous_release_back_as_a_run_of_its_own(
    project: Project, llmops: CommandLine
) -> None:
    for lr in ("0.1", "0.2"):
        words = ("deploy.keep=true", f"train.lr={lr}", "deploy.replicas=3")
        assert processes.wait(processes.start(lambda words=words: project.run(*words))) == 0
    told = llmops("releases", "rollback")
    assert told.returncode == 0, told.stderr
    assert "puts back r-1" in told.stdout or "r-1 ·" in told.stdout
    first, second, back = history(project)
    assert (back.release, back.action, back.live, back.run) == ("r-1", "rollback", True, "3")
    assert not alive(second.process) and alive(back.process)
    assert back.how["step"]["config"]["replicas"] == 3
    run = read_run(project.store, "3")
    assert (run.status, run.document["recipe"]) == ("done", "rollback")
    assert run.step("deploy")["output"]
    assert first.digest == back.digest


def test_a_rollback_with_nothing_before_it_is_refused(project: Project, llmops: CommandLine) -> None:
    told = llmops("releases", "rollback")
    assert told.returncode == 2
    assert "dev has no earlier release to go back to" in told.stderr
    project.run()
    with pytest.raises(UsageError, match="no earlier release"):
        rollback(project.store, "dev", project.plugins())


def test_a_rollback_that_fails_says_so_and_leaves_the_newer_one_up(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("deploy.keep=true")
    project.run("deploy.keep=true", "train.lr=0.2")
    journal = project.store.root / "deployments.jsonl"
    lines = journal.read_text().splitlines()
    lines[0] = lines[0].replace('"fail": ""', '"fail": "too old"')
    journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(StepError, match="deploy: RuntimeError: too old"):
        rollback(project.store, "dev", project.plugins())
    run = read_run(project.store, "3")
    assert (run.status, run.step("deploy")["status"]) == ("failed", "failed")
    assert "too old" in (run.folder / "deploy.traceback.txt").read_text()
    assert [one.release for one in history(project) if one.live] == ["r-2"]


def test_what_another_release_deployed_is_migrated_or_refused_before_anything_is_stopped(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("deploy.keep=true")
    project.run("deploy.keep=true", "train.lr=0.3")
    journal = Journal(project.store.root)
    lines = journal.path.read_text().replace('"environment": "dev", "format": 1, "inputs"', "@")
    journal.path.write_text(lines.replace("@", '"environment": "dev", "format": 2, "inputs"'))
    running = history(project)[1].process
    for act in (rollback, stop_environment):
        with pytest.raises(StoreError, match="has format 2; this release of llmops reads up to 1"):
            act(project.store, "dev", project.plugins())
    assert alive(running) and len(all_runs(project.store)) == 2
    journal.path.write_text(lines.replace("@", '"environment": "dev", "format": 0, "inputs"'))
    monkeypatch.setitem(worker_module.REQUEST_MIGRATIONS, 0, lambda document: document)
    assert rollback(project.store, "dev", project.plugins()).status == "done"


@dataclass(frozen=True)
class KeyedDeploy:
    """A server that asks for a key."""

    host: str = setting("", doc="Where.")
    port: int = setting(0, doc="Where.")
    api_key: str | None = setting(None, doc="The key.", secret=True)


def serve_keyed(config: KeyedDeploy, run: Any, *, release: Any, live: Any, ended: Any) -> int:
    raise RuntimeError(f"cannot serve with {run.secret(config.api_key)}")


def test_the_key_of_a_server_in_the_foreground_is_shown_by_no_error(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run()
    keyed = Implementation(
        "deploy",
        "keyed",
        f"{__name__}:KeyedDeploy",
        f"{__name__}:serve_keyed",
        foreground=f"{__name__}:serve_keyed",
    )
    plugins, secrets = project.plugins(), Secrets()
    plugins.implementations[("deploy", "keyed")] = keyed
    monkeypatch.setattr(plugin_module, "load", lambda extra: plugins)
    monkeypatch.setenv("MINE", "very-secret-key")
    words = ["serve", "--use", "keyed", "--api-key", "MINE", "--store", str(project.store.root)]
    with redacted_streams(secrets):
        assert _status(words, True, secrets) == 1
        with Journal(project.store.root).lock("dev", "somebody"):
            assert _status(words, False, secrets) == 1
    said = capsys.readouterr().err
    assert "cannot serve with [secret]" in said and "very-secret-key" not in said
    assert "environment dev is held by somebody" in said
    assert not list((project.store.root / "tmp").iterdir())
