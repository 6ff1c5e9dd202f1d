"""The audits that a dataset must pass before a tag moves to it: write, audit, publish.

Another package adds one of its own with an entry point of the group `llmops.data_audits`, NAME =
"package.module:function": a function of rows (of each the list of its texts) that gives how many things of
each kind it found, as plain counts. It passes while all of them are at most the share NAME of the rows.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Dataset
from llmops_core.entry_points import entry_points
from llmops_core.errors import UsageError
from llmops_core.locate import did_you_mean
from llmops_data.copies import copies
from llmops_data.drifting import drift
from llmops_data.lines import every, identities, texts
from llmops_data.profile import profile

QUOTED = 80
GROUP = "llmops.data_audits"

Finder = Callable[[Iterable[Sequence[str]]], Mapping[str, int]]


@dataclass(frozen=True)
class Limits:
    """What is still allowed. Shares are of all rows, unless it says otherwise."""

    empty: float = 0.0
    nulls: float = 0.0
    """Rows that lack a value which other rows have."""
    duplicates: float = 0.0
    leaks: float = 0.0
    shrinking: float = 0.5
    """Rows fewer than the tag's dataset before had, as a share of those."""
    lengths: float = 0.25
    words: float = 0.2
    languages: float = 0.1
    sources: float = 0.1
    labels: float = 0.1
    found: Mapping[str, float] = field(default_factory=dict)
    """Things that other packages' audits may find, by the audit's name; 0 for one that is not named."""


@dataclass(frozen=True)
class Audit:
    """One question asked of a dataset, and whether the answer is good."""

    name: str
    passed: bool
    told: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.name, "passed": self.passed, "told": self.told}


def finders() -> dict[str, Finder]:
    """The audits that installed packages add, by name."""
    found = {}
    for point in entry_points(GROUP):
        module, _, name = point.value.partition(":")
        found[point.name] = getattr(importlib.import_module(module), name)
    return found


def limits_of(allowed: Mapping[str, float], others: Iterable[str] = ()) -> Limits:
    """The usual limits with these in their place. Raises UsageError for one that no audit has."""
    own = {one.name for one in dataclasses.fields(Limits)} - {"found"}
    others = set(others)
    for name in allowed:
        if name not in own | others:
            known = ", ".join(sorted(own | others))
            remedy = f"{did_you_mean(name, own | others)}Known: {known}."
            raise UsageError(f"no audit has the limit {name}", where=f"--allow {name}", remedy=remedy)
    usual = {name: value for name, value in allowed.items() if name in own}
    return Limits(**usual, found={name: value for name, value in allowed.items() if name in others})


def audit(
    dataset: Dataset,
    previous: Dataset | None,
    limits: Limits,
    others: Mapping[str, Finder] | None = None,
) -> Iterator[Audit]:
    """Ask everything of a dataset; drift is against the previous one, where there is one."""
    first = list(_rows(dataset, limits))
    yield from first
    if not first[0].passed:
        return  # rows of no known shape cannot be compared
    yield from _duplicates(dataset, limits)
    for name, finder in (others or {}).items():
        yield _found(name, finder, dataset, limits.found.get(name, 0.0))
    if previous is not None and previous.digest != dataset.digest:
        yield from _drift(previous, dataset, limits)


def _share(name: str, count: int, whole: int, limit: float, what: str) -> Audit:
    """Whether so many of all rows are at most the limit."""
    part = count / max(1, whole)
    allowed = "" if part <= limit else f", allowed: {_percent(limit)}"
    return Audit(name, part <= limit, f"{wording.counted(count, 'row')} ({_percent(part)}) {what}{allowed}")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _rows(dataset: Dataset, limits: Limits) -> Iterator[Audit]:
    """Every row has the dataset's shape, a text wherever one belongs, and every value that others have."""
    counts = dict.fromkeys(dataset.rows, 0)
    wrong, empty, first = 0, 0, ""
    values: Counter[str] = Counter()
    for split, line in every(dataset):
        counts[split] += 1
        row = _parsed(line)
        if row is None or not SHAPES.get(dataset.shape, _any)(row):
            wrong += 1
            first = first or f": {split}:{counts[split]} {line[:QUOTED].decode('utf-8', 'replace')}"
        else:
            empty += not all(text.strip() for text in texts(row))
            values.update(_named(row))
    whole = sum(counts.values())
    yield Audit(
        "schema",
        not wrong,
        f"{wording.counted(wrong, 'row is', 'rows are')} not of the shape {dataset.shape}{first}",
    )
    recorded = sum(dataset.rows.values())
    yield Audit("rows", counts == dict(dataset.rows), f"{whole:,} rows, {recorded:,} recorded")
    yield _share("empty", empty, whole, limits.empty, "hold an empty text")
    name, fewest = min(values.items(), key=lambda one: one[1], default=("", whole))
    lacking = whole - wrong - fewest
    yield _share("nulls", lacking, whole, limits.nulls, f"have no {name}" if lacking else "lack a value")


def _named(row: Mapping[str, Any]) -> Iterator[str]:
    """The names of a row's values that are not null, those of its facts too."""
    for name, value in row.items():
        if isinstance(value, Mapping) and name == "facts":
            yield from (f"facts.{key}" for key, one in value.items() if one is not None)
        elif value is not None and name != "title":  # not every text has one
            yield name


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _duplicates(dataset: Dataset, limits: Limits) -> Iterator[Audit]:
    found = copies(identities(dataset))
    yield _share("duplicates", found.again, found.rows, limits.duplicates, "are copies of another")
    yield _share("leaks", found.across, found.rows, limits.leaks, "are in two splits")


def _found(name: str, finder: Finder, dataset: Dataset, limit: float) -> Audit:
    rows = (json.loads(line) for _, line in every(dataset))
    counts = finder([*texts(row), *texts([*row.get("facts", {}).values()])] for row in rows)
    count, whole = sum(counts.values()), max(1, sum(dataset.rows.values()))
    told = ", ".join(f"{number:,} {kind}" for kind, number in counts.items() if number) or "nothing found"
    allowed = "" if count <= limit * whole else f", allowed: {int(limit * whole):,} in {whole:,} rows"
    return Audit(name, count <= limit * whole, told + allowed)


def _drift(previous: Dataset, dataset: Dataset, limits: Limits) -> Iterator[Audit]:
    before, after = sum(previous.rows.values()), sum(dataset.rows.values())
    told = f"{before:,} rows became {after:,}"
    shrunk = (before - after) / max(1, before)
    allowed = f", {_percent(shrunk)} fewer, allowed: {_percent(limits.shrinking)}"
    yield Audit(
        "shrinking", shrunk <= limits.shrinking, told + (allowed if shrunk > limits.shrinking else "")
    )
    for name, value in drift(profile(previous, alike=False), profile(dataset, alike=False)).items():
        limit = getattr(limits, name)
        yield Audit(name, value <= limit, f"drifted by {value:g}, allowed: {limit:g}")


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
