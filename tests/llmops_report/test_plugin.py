"""The plugin: a report lies in the run's folder once the run is over, and only a whole one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
import pytest

from llmops_core import events, hookspecs
from llmops_core.artifacts import Artifact
from llmops_core.errors import StoreError
from llmops_core.secrets import Secrets
from llmops_report import page, plugin
from llmops_report.facts import Facts


@dataclass
class FakeRun:
    """What the core's record of a run offers."""

    folder: Path
    document: dict[str, Any]
    artifacts: dict[str, Artifact]
    secrets: Secrets = field(default_factory=Secrets)

    def artifact(self, digest: str) -> Artifact:
        if digest not in self.artifacts:
            raise StoreError(f"{digest} is not in the store")
        return self.artifacts[digest]


@pytest.fixture
def run(released: Facts, tmp_path: Path) -> FakeRun:
    by_digest = {f"digest-of-{name}": artifact for name, artifact in released.artifacts.items()}
    folder = tmp_path / "runs" / "7"
    folder.mkdir(parents=True)
    return FakeRun(folder, dict(released.document), by_digest)


def tell(run: FakeRun, event: events.Event) -> None:
    """As the core tells it, so that the hook's name and arguments are checked too."""
    manager = pluggy.PluginManager("llmops")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    manager.hook.llmops_event(run=run, event=event)


def test_a_report_is_written_when_the_run_has_ended_and_not_before(run: FakeRun) -> None:
    tell(run, events.RunStarted())
    tell(run, events.StepEnded("train", "done", 1.0))
    assert list(run.folder.iterdir()) == []
    tell(run, events.RunEnded(status="done", seconds=138.2))
    assert [path.name for path in run.folder.iterdir()] == ["report.html"]
    assert "Released r-4" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_an_artifact_that_is_gone_is_told_and_the_rest_is_shown(run: FakeRun) -> None:
    del run.artifacts["digest-of-evaluate"]
    tell(run, events.RunEnded(status="done"))
    written = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "What evaluate gave could not be read" in written
    assert "digest-of-evaluate is not in the store" in written
    assert ">Training<" in written


def test_the_event_tells_how_a_run_ended_when_its_record_does_not_yet(run: FakeRun) -> None:
    run.document |= {"status": "running", "seconds": None}
    tell(run, events.RunEnded(status="interrupted", seconds=61.0))
    written = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Interrupted" in written
    assert "1 m 01 s" in written


def test_a_secret_that_was_read_is_not_in_the_report(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", "planted <value>")
    run.secrets.read("HUB_TOKEN")
    run.document |= {"status": "failed", "error": {"where": "train", "what": "401 for planted <value>"}}
    tell(run, events.RunEnded(status="failed"))
    written = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "401 for [secret]" in written
    assert "planted" not in written


def test_a_report_that_fails_is_raised_and_leaves_the_earlier_one(
    run: FakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.folder / "report.html").write_text("earlier", encoding="utf-8")

    def broken(*_: object) -> str:
        raise ValueError("no page today")

    monkeypatch.setattr(page, "render", broken)
    with pytest.raises(ValueError, match="no page today"):
        tell(run, events.RunEnded())
    assert [path.name for path in run.folder.iterdir()] == ["report.html"]
    assert (run.folder / "report.html").read_text(encoding="utf-8") == "earlier"


def test_loading_the_plugin_imports_nothing_that_only_a_report_needs() -> None:
    told = (
        "import sys, llmops_report.plugin; print(*(n for n in sys.modules if n.startswith('llmops_report')))"
    )
    path = "import sys; sys.path[:0] = " + repr([entry for entry in sys.path if entry]) + "; "
    found = subprocess.run([sys.executable, "-c", path + told], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["llmops_report", "llmops_report.plugin"]


def test_a_whole_report_needs_only_the_standard_library_and_the_core() -> None:
    told = "import sys, llmops_report.page; print(*{n.partition('.')[0] for n in sys.modules})"
    path = (
        "import sys; sys.path[:0] = "
        + repr([entry for entry in sys.path if entry])
        + "; before = set(sys.modules); "
    )
    found = subprocess.run([sys.executable, "-c", path + told], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "hydra", "omegaconf", "matplotlib", "rich", "yaml"}
    assert not heavy & set(found.stdout.split())
