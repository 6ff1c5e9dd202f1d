"""Rows of two datasets are paired by their names, then by what they ask."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Dataset
from llmops_data.comparing import LONGEST, Difference, difference, plainly


def dataset(folder: Path, rows: Mapping[str, Sequence[Any]], shape: str = "qa") -> Dataset:
    folder.mkdir(parents=True)
    for split, found in rows.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return Dataset(folder=folder, rows={split: len(found) for split, found in rows.items()}, shape=shape)


def qa(question: str, answer: str, **facts: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "contexts": [], **({"facts": facts} if facts else {})}


def compared(folder: Path, old: Sequence[Any], new: Sequence[Any], **more: Any) -> Difference:
    return difference(
        dataset(folder / "old", {"train": old}), dataset(folder / "new", {"train": new}), **more
    )


def counts(found: Difference) -> tuple[int, ...]:
    return found.removed, found.added, found.changed, found.moved, found.same


def test_a_row_that_keeps_its_id_is_changed_whatever_it_asks(tmp_path: Path) -> None:
    old = [qa("Where?", "Here.", id=1), qa("Who?", "Ann.", id=2)]
    new = [qa("Who?", "Ann.", id=2), qa("Where is it?", "There.", id=1)]
    found = compared(tmp_path, old, new)
    assert counts(found) == (0, 0, 1, 0, 1)
    [changed] = found.examples["changed"]
    assert (changed["was_at"], changed["at"]) == ("train:1", "train:2")
    assert [one["field"] for one in changed["fields"]] == ["question", "answer"]


def test_the_fact_that_names_a_row_may_be_said(tmp_path: Path) -> None:
    old, new = [qa("A?", "a", id=1, number=7)], [qa("B?", "b", id=2, number=7)]
    assert counts(compared(tmp_path / "named", old, new, key="number")) == (0, 0, 1, 0, 0)
    assert counts(compared(tmp_path / "usual", old, new)) == (1, 1, 0, 0, 0)


def test_a_new_label_alone_is_a_change(tmp_path: Path) -> None:
    found = compared(tmp_path, [qa("A?", "a", label="x")], [qa("A?", "a", label="y")])
    assert counts(found) == (0, 0, 1, 0, 0)
    assert found.examples["changed"][0]["fields"] == [{"field": "facts.label", "was": "x", "now": "y"}]


def test_several_answers_to_one_prompt_are_paired_in_order(tmp_path: Path) -> None:
    old = [qa("A?", "a"), qa("A?", "b"), qa("A?", "c")]
    assert counts(compared(tmp_path, old, [qa("A?", "b"), qa("A?", "new")])) == (1, 0, 1, 0, 1)


def test_of_copies_each_counts(tmp_path: Path) -> None:
    assert counts(compared(tmp_path, [qa("A?", "a")] * 3, [qa("A?", "a")])) == (2, 0, 0, 0, 1)


def test_a_text_is_known_by_its_place_and_a_shifted_line_is_no_change(tmp_path: Path) -> None:
    old = [{"text": f"Text {n}", "origin": f"a:{n}"} for n in range(5)]
    new = [{"text": "First", "origin": "a:0"}] + [
        {**row, "origin": f"a:{n + 1}"} for n, row in enumerate(old)
    ]
    assert counts(compared(tmp_path / "shifted", old, new)) == (0, 1, 0, 0, 5)
    page = [{"text": "Old words", "origin": "docs/a.md", "title": "A"}]
    found = compared(tmp_path / "page", page, [{**page[0], "text": "New words"}])
    assert counts(found) == (0, 0, 1, 0, 0)


def test_of_a_long_text_what_surrounds_the_difference_is_shown(tmp_path: Path) -> None:
    same = "same " * 400
    found = compared(tmp_path, [qa("A?", f"{same}old")], [qa("A?", f"{same}new")])
    [field] = found.examples["changed"][0]["fields"]
    assert field["was"].endswith("same old") and field["now"].endswith("same new")
    assert field["was"].startswith("…") and len(field["was"]) < LONGEST


def test_splits_of_other_names_are_compared_too(tmp_path: Path) -> None:
    old = dataset(tmp_path / "old", {"train": [qa("A?", "a")], "dev": [qa("B?", "b")]})
    new = dataset(tmp_path / "new", {"train": [qa("A?", "a")], "validation": [qa("B?", "b")]})
    assert counts(difference(old, new)) == (0, 0, 0, 1, 1)


def test_every_row_is_counted_once_however_datasets_differ(tmp_path: Path) -> None:
    old = [qa(f"{n % 7}?", f"{n % 5}", id=n % 11) for n in range(100)]
    new = [qa(f"{n % 6}?", f"{n % 4}", id=n % 13) for n in range(90)]
    found = compared(tmp_path, old, new)
    assert found.removed + found.changed + found.moved + found.same == 100
    assert found.added + found.changed + found.moved + found.same == 90


def test_nothing_against_something_is_all_added(tmp_path: Path) -> None:
    assert counts(compared(tmp_path / "a", [], [qa("A?", "a")])) == (0, 1, 0, 0, 0)
    assert counts(compared(tmp_path / "b", [], [])) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"messages": [{"role": "user", "content": "a\nb"}]}, "user: a b"),
        (qa("A?", "a", label="x"), "question: A? ⏎ answer: a ⏎ facts.label: x"),
    ],
)
def test_a_row_is_told_on_one_line(row: Any, told: str) -> None:
    assert plainly(row) == told
