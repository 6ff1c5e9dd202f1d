"""What steps gave is kept by content: what changed is redone, and what did not is not."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Dataset
from llmops_core.cache import Cache
from llmops_core.content import content_digest
from llmops_core.errors import StoreError
from llmops_core.gc import collect
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_data import pipeline
from llmops_data.config import DialogueData, Length
from llmops_data.dialogues import dialogues
from llmops_data.rows import Row

from .conftest import loading, part, step_run, target


class Counted:
    """Loads steps that count how often they run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, chosen: Part) -> Callable[..., Any]:
        function = target(chosen)

        def counting(config: Any, run: StepRun, *, rows: Sequence[Row]) -> Any:
            self.ran.append(chosen.use)
            return function(config, run, rows=rows)

        counting.__module__ = function.__module__
        return counting


def rows_file(folder: Path, count: int = 30) -> str:
    path = folder / "rows.jsonl"
    lines = [json.dumps({"prompt": f"Question {n * n}?", "completion": f"Answer {n}."}) for n in range(count)]
    path.write_text("\n".join(lines))
    return str(path)


def make(folder: Path, steps: Mapping[str, Part], ran: Counted, name: str, **config: Any) -> Dataset:
    run = dataclasses.replace(step_run(folder, name=name), loader=loading(ran))
    return dialogues(DialogueData(source=str(folder / "rows.jsonl"), steps=steps, **config), run)


STEPS = {"normalise": part("normalise"), "exact": part("exact")}
MORE = {**STEPS, "length": part("length")}


def test_a_step_added_at_the_end_redoes_only_itself(tmp_path: Path) -> None:
    rows_file(tmp_path)
    ran = Counted()
    make(tmp_path, STEPS, ran, "one")
    make(tmp_path, MORE, ran, "two")
    assert ran.ran == ["normalise", "exact", "length"]


def test_what_is_taken_from_before_gives_the_same_bytes(tmp_path: Path) -> None:
    rows_file(tmp_path)
    steps = {**STEPS, "dedup": part("near", threshold=0.3)}
    first = make(tmp_path, steps, Counted(), "one")
    second = make(tmp_path, steps, Counted(), "two")
    assert content_digest(first.folder) == content_digest(second.folder)
    assert first.funnel == second.funnel


def test_another_config_redoes_its_step_and_those_after_it(tmp_path: Path) -> None:
    rows_file(tmp_path)
    ran = Counted()
    make(tmp_path, MORE, ran, "one")
    ran.ran.clear()
    make(tmp_path, {**MORE, "exact": part("exact", ignore_case=True)}, ran, "two")
    assert ran.ran == ["exact", "length"]


def test_another_row_redoes_everything_and_another_place_nothing(tmp_path: Path) -> None:
    path = Path(rows_file(tmp_path))
    ran = Counted()
    make(tmp_path, STEPS, ran, "one")
    ran.ran.clear()
    text = path.read_text()
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "elsewhere.jsonl").write_text(text)
    run = dataclasses.replace(step_run(tmp_path, name="two"), loader=loading(ran))
    dialogues(DialogueData(source=str(tmp_path / "moved" / "elsewhere.jsonl"), steps=STEPS), run)
    assert ran.ran == []
    path.write_text(text + '\n{"prompt": "One more?", "completion": "Yes."}')
    found = make(tmp_path, STEPS, ran, "three")
    assert ran.ran == ["normalise", "exact"]
    assert sum(found.rows.values()) == 31


def test_a_function_that_says_so_runs_every_time_and_what_follows_only_if_it_gave_other_rows(
    tmp_path: Path,
) -> None:
    rows_file(tmp_path)
    ran: list[str] = []
    given = [30]

    def outside(config: Any, run: StepRun, *, rows: Sequence[Row]) -> Any:
        ran.append("outside")
        return rows[: given[0]]

    def after(config: Any, run: StepRun, *, rows: Sequence[Row]) -> Any:
        ran.append("after")
        return rows

    outside.cached = False  # type: ignore[attr-defined]
    steps = {"outside": Part("data/step", "outside"), "after": Part("data/step", "after")}
    functions = {"outside": outside, "after": after}
    for number, count in enumerate((30, 30, 20)):
        given[0] = count
        run = dataclasses.replace(
            step_run(tmp_path, name=f"run{number}"), loader=loading(lambda part: functions[part.use])
        )
        dialogues(DialogueData(source=str(tmp_path / "rows.jsonl"), steps=steps), run)
    assert ran == ["outside", "after", "outside", "outside", "after"]


def test_what_was_removed_or_cut_short_is_made_again(tmp_path: Path) -> None:
    rows_file(tmp_path)
    ran = Counted()
    first = make(tmp_path, STEPS, ran, "one")
    entries = sorted((tmp_path / "cache" / "data").iterdir())
    assert len(entries) == 3
    for entry in entries:
        os.truncate(entry / "rows.arrow", 10)
    second = make(tmp_path, STEPS, ran, "two")
    assert ran.ran == ["normalise", "exact"] * 2
    assert content_digest(first.folder) == content_digest(second.folder)


def test_a_step_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path) -> Mapping[str, Any]:
        (folder / "rows.arrow").write_bytes(b"half")
        raise RuntimeError("stopped")

    Store(tmp_path).prepare()
    with pytest.raises(RuntimeError, match="stopped"):
        Cache(tmp_path, "data").entry({"x": 1}, fails)
    assert not (tmp_path / "cache").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from llmops_core.cache import Cache
def make(folder):
    (folder / "rows.arrow").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
Cache(Path(sys.argv[1]), "data").entry({"x": 1}, make)
"""


def test_a_kill_while_writing_leaves_only_what_gc_takes(tmp_path: Path) -> None:
    Store(tmp_path).prepare()
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert Cache(tmp_path, "data").entry({"x": 1}, lambda folder: {"made": "again"}).facts == {
        "made": "again"
    }
    assert list((tmp_path / "tmp").iterdir())
    collect(Store(tmp_path))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_two_at_once_make_one_entry(tmp_path: Path) -> None:
    def make_again(folder: Path) -> Mapping[str, Any]:
        # while this one writes, another finishes
        Cache(tmp_path, "data").entry({"x": 1}, lambda inner: {"by": "the other"})
        return {"by": "this one"}

    Cache(tmp_path, "data").entry({"x": 1}, make_again)
    assert len(list((tmp_path / "cache" / "data").iterdir())) == 1
    assert Cache(tmp_path, "data").entry({"x": 1}, make_again).reused


def test_use_is_told_by_the_time_of_the_entry(tmp_path: Path) -> None:
    entry = Cache(tmp_path, "data").entry({"x": 1}, lambda folder: {})
    old = time.time() - 1000
    os.utime(entry.folder / "entry.json", (old, old))
    Cache(tmp_path, "data").entry({"x": 1}, lambda folder: {})
    assert (entry.folder / "entry.json").stat().st_mtime > old + 900


def test_a_step_by_rows_is_given_parts_and_its_counts_are_summed(tmp_path: Path) -> None:
    rows_file(tmp_path, 2500)
    seen: list[int] = []
    short = target(part("length"))

    def by_rows(config: Length, run: StepRun, *, rows: Sequence[Row]) -> Any:
        seen.append(len(rows))
        return short(config, run, rows=rows)

    by_rows.by_rows = True  # type: ignore[attr-defined]
    run = dataclasses.replace(step_run(tmp_path), loader=loading(lambda chosen: by_rows))
    steps = {"length": part("length", min_characters=24)}
    found = dialogues(DialogueData(source=str(tmp_path / "rows.jsonl"), steps=steps), run)
    assert sum(seen) == 2500 and len(seen) > 1
    gone = sum(len(f"Question {n * n}?Answer {n}.") < 24 for n in range(2500))
    assert found.funnel[1]["counts"] == {"under 24 characters left out": gone}
    assert found.funnel[1]["note"] == f"{gone:,} under 24 characters left out"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_in_a_step_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_file(tmp_path)
    read = make(tmp_path, {}, Counted(), "read")
    monkeypatch.setattr(pipeline, "ROWS", "/dev/full")
    with pytest.raises(StoreError, match="no space left") as error:
        make(tmp_path, STEPS, Counted(), "full")
    assert "llmops store gc" in str(error.value)
    assert not any((tmp_path / "tmp").iterdir())
    monkeypatch.undo()
    ran = Counted()
    assert sum(make(tmp_path, STEPS, ran, "again").rows.values()) == sum(read.rows.values())
    assert ran.ran == ["normalise", "exact"]
