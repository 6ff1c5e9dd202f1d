"""What a person sees while a run goes, and after."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any

import pytest

from llmops_core import events
from llmops_core.artifacts import Scores
from llmops_core.console import Console, samples, summary
from llmops_core.manifest import read_run
from llmops_core.step import StepRun
from tests.conftest import Project
from tests.stand_ins import Instead


def test_without_a_terminal_there_is_a_line_a_step_and_no_control_characters(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.extra = [("console", Console())]
    project.run()
    project.run("train.lr=0.3")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"run 1 · recipe · {project.store.root / 'runs' / '1'}"
    assert [line.split()[0] for line in lines[1:7]] == [
        "data",
        "model",
        "train",
        "evaluate",
        "release",
        "deploy",
    ]
    assert re.fullmatch(r"  data      \d+ ms +4 -> 4 rows \(train 4\)", lines[1])
    assert lines[8] == "  data      reused    4 -> 4 rows (train 4)"
    assert len(lines) == 14
    assert not re.search(r"[\x00-\x1f]", "".join(lines))


def test_a_long_step_says_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    console = Console(bars=False, clock=lambda: now[0])
    console.llmops_event(None, events.StepStarted("train"))  # type: ignore[arg-type]
    for second in range(0, 100, 5):
        now[0] = float(second)
        console.llmops_event(None, events.Progress("train", second, 100, {"loss": 1.5}))  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        f"  train       {done}/100  loss 1.50" for done in (30, 60, 90)
    ]


def test_warnings_retries_and_failures_are_said(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    def work(run: StepRun) -> Any:
        run.warn("half the rows are empty")
        raise ConnectionError("away")

    project.extra = [("console", Console()), ("flaky", Instead("data", work))]
    with pytest.raises(Exception, match="away"):
        project.run("data.retry.times=1", "data.retry.wait=0")
    said = capsys.readouterr().err
    assert "  data      warning: half the rows are empty\n" in said
    assert "attempt 1 failed: data: ConnectionError: away." in said
    assert said.endswith("  data      failed\n")


def test_a_terminal_gets_bars_and_is_left_clean(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    project.extra = [("console", Console())]
    project.run("train.pause=0.3")
    written = terminal.getvalue()
    assert "━" in written and "3/3" in written
    assert "\x1b[?25h" in written, "the cursor is shown again"


def test_the_summary_has_a_table_the_scores_and_where_the_rest_lies(project: Project) -> None:
    run = project.run()
    text = summary(run)
    assert [line.split()[:2] for line in text.splitlines()[1:7]] == [
        [step["name"], "done"] for step in run.document["steps"]
    ]
    assert "scores (95 % intervals, 4 held-out rows)" in text
    assert re.search(r"accuracy +0\.500 \(0\.500–0\.500\)", text)
    assert re.search(r"^done in [\d.]+ (ms|s) · llmops runs show 1( |$)", text, re.MULTILINE)
    (run.folder / "report.html").write_text("x")
    assert summary(run).endswith(f" · report: {run.folder / 'report.html'}")


@pytest.mark.parametrize("words", [("data.fail=broken",), ("release.at_least=0.9",)])
def test_a_run_that_ended_badly_still_has_its_table(project: Project, words: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match=r"broken|below"):
        project.run(*words)
    run = read_run(project.store, "1")
    text = summary(run)
    assert re.search(r"^  deploy +pending$", text, re.MULTILINE)
    assert f"{run.status} in " in text and "llmops runs show 1" in text


def test_a_summary_does_without_what_gc_took(project: Project) -> None:
    run = project.run()
    (project.store.root / "artifacts").rename(project.folder / "gone")
    assert "done in " in summary(run)


def test_sample_answers_stand_side_by_side_and_are_cut_to_a_line(project: Project) -> None:
    folder = project.folder / "scores"
    folder.mkdir()
    sample = {"prompt": "why\nso?", "reference": "r", "candidate": "word " * 100, "baseline": "b"}
    (folder / "samples.jsonl").write_text((json.dumps(sample) + "\n") * 9)
    lines = samples(Scores(folder=folder, rows=1, values={}, baseline={}))
    assert lines[:4] == ["", "  asked   why so?", "  wanted  r", "  before  b"]
    assert lines[4].startswith("  after   word word") and lines[4].endswith(" ...") and len(lines[4]) < 115
    assert len(lines) == 15
