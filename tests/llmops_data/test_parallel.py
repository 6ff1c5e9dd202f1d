"""Steps in several processes: the same bytes, and what goes wrong there is told here."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmops_core.content import content_digest
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_data import length
from llmops_data.config import DialogueData, Length
from llmops_data.dialogues import dialogues
from llmops_data.parallel import Processes
from llmops_data.pipeline import Passed, passed
from llmops_data.rows import Message, Outcome, Row
from llmops_data.stored import RowsWriter, StoredRows, encoded

from .conftest import part, step_run

ROWS = 9000
STEPS = {
    "normalise": part("normalise"),
    "language": part("language"),
    "length": part("length", min_characters=20),
}


def rows_file(folder: Path) -> str:
    lines = [
        json.dumps({"prompt": f"Number  {n}?", "completion": "Well " * (n % 4) + "."}) for n in range(ROWS)
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    return str(folder / "rows.jsonl")


def test_two_processes_give_the_bytes_of_one(tmp_path: Path) -> None:
    found = []
    for workers in (1, 2):
        place = tmp_path / str(workers)
        place.mkdir()
        run = step_run(place)
        made = dialogues(DialogueData(source=rows_file(place), steps=STEPS, workers=workers), run)
        found.append((content_digest(run.folder), made.rows, made.funnel))
    assert found[0] == found[1]


def stored(folder: Path, count: int = ROWS) -> Passed:
    with RowsWriter(folder / "rows.arrow") as writer:
        for number in range(count):
            writer.add(Row(str(number), (Message("text", f"text {number}"),)))
    return Passed("read", StoredRows(folder / "rows.arrow"), "0" * 64)


def in_processes(function: Any, rows: StoredRows, workers: int = 2) -> bool:
    return Processes(workers).takes(function, part("length"), rows)


def vowels(config: Any, run: StepRun, *, rows: list[Row]) -> Outcome:
    """Counts what it finds only as it finds it."""
    found: Counter[str] = Counter()
    for row in rows:
        found.update(f"with {letter}" for letter in "iae" if letter in row.text)
    return Outcome(rows, counts=found)


vowels.by_rows = True  # type: ignore[attr-defined]


def test_what_is_counted_is_told_alike_however_the_rows_lie_in_batches(tmp_path: Path) -> None:
    rows = [Row(str(number), (Message("text", said),)) for number, said in enumerate(["pie", "bad", "pea"])]
    run, told = dataclasses.replace(step_run(tmp_path), loader=lambda chosen: vowels), []
    for size in (1, 3):
        with RowsWriter(tmp_path / f"{size}.arrow") as writer:
            for start in range(0, 3, size):
                writer.add_batch(encoded(rows[start : start + size]))
        before = Passed("read", StoredRows(tmp_path / f"{size}.arrow"), f"{size}" * 64)
        found = passed("vowels", Part("data/step", "vowels", Length()), run, before)
        told.append((found.note, list(found.counts.items())))
    assert told[0] == told[1]
    assert told[0][0] == "2 with a, 2 with e, 1 with i"


def test_few_rows_and_functions_without_a_name_of_their_own_stay_here(tmp_path: Path) -> None:
    enough = stored(tmp_path).rows
    assert in_processes(length.length, enough)
    assert not in_processes(length.length, enough, 1)
    assert not in_processes(lambda config, run, *, rows: rows, enough)
    (tmp_path / "few").mkdir()
    assert not in_processes(length.length, stored(tmp_path / "few", 500).rows)


def test_what_a_step_counts_and_raises_there_reaches_this_process(tmp_path: Path) -> None:
    before = stored(tmp_path)
    run = step_run(tmp_path)
    found = passed("length", part("length", min_characters=8), run, before, Processes(2))
    assert len(found.rows) == ROWS - 100
    assert found.counts == {"under 8 characters left out": 100}
    config = Length()
    object.__setattr__(config, "min_characters", None)  # which only the other process stumbles over
    with pytest.raises(TypeError, match="not supported between"):
        passed("length", Part("data/step", "length", config), run, before, Processes(2))
    assert list((tmp_path / "tmp").iterdir()) == []
