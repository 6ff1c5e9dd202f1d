"""Datasets in a person's own folder, in columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llmops_core.artifacts import Dataset
from llmops_core.errors import UsageError
from llmops_data import export
from llmops_data.versions import Version


def columns(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What stands in the Parquet file of some rows."""
    (folder / "made").mkdir()
    (folder / "made" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    version = Version(Dataset(folder=folder / "made", rows={"train": len(rows)}, shape="text"))
    found = list(export.exported(version, folder / "out", "parquet"))
    read: list[Any] = pq.read_table(found[0]).to_pylist()
    return read


def test_text_stays_text_and_what_only_later_rows_know_has_a_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 2)
    rows: list[dict[str, Any]] = [{"text": "2026-11-20"} for _ in range(5)]
    rows += [{"text": "2026-11-21", "facts": {"n": value}} for value in (None, 1, 2.5)]
    read = columns(tmp_path, rows)
    assert [row["text"] for row in read] == [row["text"] for row in rows]
    assert [row["facts"] for row in read] == [None] * 5 + [{"n": None}, {"n": 1.0}, {"n": 2.5}]


@pytest.mark.parametrize("values", [(1, "anna@firma.de"), ({}, {}), (1, 10**30)])
def test_facts_that_fit_no_column_are_refused_and_not_quoted(tmp_path: Path, values: Sequence[Any]) -> None:
    with pytest.raises(UsageError, match=r"train\.jsonl does not fit into columns") as error:
        columns(tmp_path, [{"text": "a", "facts": {"n": value}} for value in values])
    assert "anna" not in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []
