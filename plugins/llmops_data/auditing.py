"""The audits that a dataset must pass before a tag moves to it: write, audit, publish."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmops_core.artifacts import Dataset
from llmops_data.drifting import drift
from llmops_data.lines import Identities, every, identities, texts
from llmops_data.profile import profile

QUOTED = 80


@dataclass(frozen=True)
class Limits:
    """What is still allowed. Shares are of all rows."""

    empty: float = 0.0
    duplicates: float = 0.0
    lengths: float = 0.25
    words: float = 0.2
    languages: float = 0.1
    shrinking: float = 0.5


@dataclass(frozen=True)
class Audit:
    """One question asked of a dataset, and whether the answer is good."""

    name: str
    passed: bool
    told: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "passed": self.passed, "told": self.told}


def audit(dataset: Dataset, previous: Dataset | None, limits: Limits) -> Iterator[Audit]:
    """Ask everything of a dataset; drift is against the previous one, where there is one."""
    first = list(_rows(dataset, limits))
    yield from first
    if not first[0].passed:
        return  # rows of no known shape cannot be compared
    yield from _duplicates(dataset, identities(dataset), limits)
    if previous is not None and previous.digest != dataset.digest:
        yield from _drift(previous, dataset, limits)


def _rows(dataset: Dataset, limits: Limits) -> Iterator[Audit]:
    """Every row has the dataset's shape, and a text wherever one belongs."""
    counts = dict.fromkeys(dataset.rows, 0)
    wrong, empty, first = 0, 0, ""
    for split, line in every(dataset):
        counts[split] += 1
        row = _parsed(line)
        if row is None or not SHAPES.get(dataset.shape, _any)(row):
            wrong += 1
            first = first or f": {split} row {counts[split]}, {line[:QUOTED].decode('utf-8', 'replace')}"
        else:
            empty += not all(text.strip() for text in texts(row))
    whole = max(1, sum(counts.values()))
    yield Audit("schema", not wrong, f"{wrong:,} rows are not of the shape {dataset.shape}{first}")
    yield Audit(
        "rows", counts == dict(dataset.rows), f"{whole:,} rows, {sum(dataset.rows.values()):,} recorded"
    )
    yield Audit(
        "empty", empty / whole <= limits.empty, f"{empty:,} rows ({empty / whole:.1%}) hold an empty text"
    )


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _duplicates(dataset: Dataset, found: Identities, limits: Limits) -> Iterator[Audit]:
    whole, distinct = max(1, len(found.rows)), np.unique(found.rows)
    again = len(found.rows) - len(distinct)
    told = f"{again:,} rows ({again / whole:.1%}) are copies of another"
    yield Audit("duplicates", again / whole <= limits.duplicates, told)
    across = 0
    for split in range(1, len(dataset.rows)):
        earlier, here = found.rows[found.splits < split], found.rows[found.splits == split]
        across += len(np.intersect1d(earlier, here))
    yield Audit("leaks", not across, f"{across:,} rows are in two splits")


def _drift(previous: Dataset, dataset: Dataset, limits: Limits) -> Iterator[Audit]:
    before, after = sum(previous.rows.values()), sum(dataset.rows.values())
    told = f"{before:,} rows became {after:,}"
    yield Audit("size", after >= before * limits.shrinking, told)
    for name, value in drift(profile(previous, alike=False), profile(dataset, alike=False)).items():
        limit = getattr(limits, name)
        yield Audit(f"drift of {name}", value <= limit, f"{value:g}, at most {limit:g}")


def _any(row: Any) -> bool:
    return isinstance(row, Mapping)


def _messages(row: Any) -> bool:
    said: Any = row.get("messages") if isinstance(row, Mapping) else None
    return _said(said) and bool(said) and bool(said[-1]["role"] == "assistant")


def _said(said: Any) -> bool:
    return isinstance(said, list) and all(
        isinstance(one, Mapping) and isinstance(one.get("role"), str) and isinstance(one.get("content"), str)
        for one in said
    )


def _text(row: Any) -> bool:
    return isinstance(row, Mapping) and isinstance(row.get("text"), str)


def _preference(row: Any) -> bool:
    return isinstance(row, Mapping) and all(_said(row.get(name)) for name in ("prompt", "chosen", "rejected"))


def _qa(row: Any) -> bool:
    texts_there = isinstance(row, Mapping) and all(
        isinstance(row.get(one), str) for one in ("question", "answer")
    )
    return texts_there and isinstance(row.get("contexts"), list)


SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "messages": _messages,
    "text": _text,
    "preference": _preference,
    "qa": _qa,
}
