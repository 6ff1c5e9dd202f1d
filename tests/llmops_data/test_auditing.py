"""The audits before a tag moves: what each refuses, with its counts, and what may be allowed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llmops_core.artifacts import Dataset
from llmops_core.errors import UsageError
from llmops_data import auditing
from llmops_data.auditing import Limits, audit, finders, limits_of


def dataset(folder: Path, rows: Sequence[Mapping[str, Any]], **facts: Any) -> Dataset:
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset(folder=folder, digest=folder.name, rows={"train": len(rows)}, shape="text", **facts)


def text(number: int, **more: Any) -> dict[str, Any]:
    return {"text": f"Item {number} costs {number * 3} and is in stock.", "origin": f"a:{number}", **more}


def failed(made: Dataset, previous: Dataset | None = None, limits: Limits | None = None) -> dict[str, str]:
    return {one.name: one.told for one in audit(made, previous, limits or Limits()) if not one.passed}


def test_values_that_some_rows_lack_are_counted_and_a_missing_title_is_none(tmp_path: Path) -> None:
    rows = [
        text(n, facts={"label": "a" if n else None}, **({"title": "T"} if n > 5 else {})) for n in range(20)
    ]
    made = dataset(tmp_path / "data", rows)
    assert failed(made) == {"nulls": "1 row (5 %) have no facts.label, allowed: 0 %"}
    assert failed(made, limits=Limits(nulls=0.05)) == {}


def test_copies_that_were_read_at_different_places_are_copies(tmp_path: Path) -> None:
    made = dataset(tmp_path / "data", [text(1), {**text(1), "origin": "b:9"}, text(2), text(3)])
    assert failed(made) == {"duplicates": "1 row (25 %) are copies of another, allowed: 0 %"}


def test_a_source_that_swells_is_told_as_drift(tmp_path: Path) -> None:
    def made(name: str, many: int) -> Dataset:
        by = {"source": {"a": {"train": many}, "b": {"train": 50 - many}}}
        funnel = ({"step": "split", "rows": 50, "by": by},)
        return dataset(tmp_path / name, [text(n) for n in range(50)], funnel=funnel)

    told = failed(made("new", 48), made("old", 5))
    assert list(told) == ["sources"] and told["sources"].endswith("allowed: 0.1")
    assert failed(made("near", 6), made("same", 5)) == {}


def test_a_dataset_that_shrank_is_refused_with_both_counts(tmp_path: Path) -> None:
    old, new = (dataset(tmp_path / str(count), [text(n) for n in range(count)]) for count in (200, 80))
    limits = Limits(lengths=9, words=9)
    assert failed(new, old, limits) == {"shrinking": "200 rows became 80, 60 % fewer, allowed: 50 %"}


def shouting(rows: Iterable[Sequence[str]]) -> Mapping[str, int]:
    """Another package's audit."""
    return {"shout": sum(one.isupper() for texts in rows for one in texts), "whisper": 0}


def test_another_packages_audit_counts_and_has_a_limit_of_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("loud")
    module.shouting = shouting  # type: ignore[attr-defined]
    info = tmp_path / "site" / "loud-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(f"[{auditing.GROUP}]\nnoise = loud:shouting\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setitem(__import__("sys").modules, "loud", module)
    found = finders()
    assert found["noise"] is shouting
    rows = [text(n) for n in range(18)] + [{"text": "HELP", "origin": "x"}, {"text": "NOW", "origin": "y"}]
    made = dataset(tmp_path / "data", rows)
    noise = {"noise": shouting}

    def told(**allowed: float) -> list[str]:
        limits = limits_of(allowed, noise)
        return [one.told for one in audit(made, None, limits, noise) if not one.passed]

    assert told() == ["2 shout, allowed: 0 in 20 rows"]
    assert told(noise=0.1) == []
    known = [text(n) | {"facts": {"role": "chief" if n else "CHIEF"}} for n in range(20)]
    made = dataset(tmp_path / "facts", known)
    assert told() == ["1 shout, allowed: 0 in 20 rows"]


def test_a_limit_that_no_audit_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no audit has the limit duplicate.*Did you mean duplicates"):
        limits_of({"duplicate": 0.1})
    assert limits_of({"empty": 0.5}, ["noise"]) == Limits(empty=0.5)
