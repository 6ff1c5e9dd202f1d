"""Reading: holes and wrong types are nothing, never an exception."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmops_report import reading


@pytest.mark.parametrize("value", [None, "3", True, float("nan"), float("inf"), [], {}, 10**400])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert reading.number({"key": value}, "key") is None


def test_numbers_are_read_and_written_out() -> None:
    assert reading.number({"key": 3}, "key") == 3.0
    assert reading.text({"key": 7}, "key") == "7"
    assert reading.text({"key": True}, "key") == ""


def test_lists_keep_only_what_fits() -> None:
    record = {"key": [{"a": 1}, "b", 3, None]}
    assert reading.entries(record, "key") == [{"a": 1}]
    assert reading.texts(record, "key") == ["b"]
    assert reading.entries({"key": "text"}, "key") == []


def test_broken_lines_are_counted_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    path.write_bytes(b'{"step": 1}\n\n{"step": \n[2]\n{"note": "\xff"}\n')
    read = reading.json_lines(path)
    assert [set(row) for row in read.rows] == [{"step"}, {"note"}]
    assert read.trouble == "training.jsonl: 2 lines could not be read."


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    assert reading.json_lines(tmp_path).trouble.startswith(f"{tmp_path.name} could not be read: ")
