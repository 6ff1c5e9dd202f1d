"""The data funnel: how many rows each step of gathering left, and the splits they went to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Dataset
from llmops_core.html import charts
from llmops_core.html.markup import Content, Markup, breakable, element
from llmops_report import reading
from llmops_report.facts import Facts, of_kind

MOST_DUPLICATES = 10
LONGEST_DUPLICATE = 1200
"""Characters of a pair of duplicates that are shown."""


def funnel(facts: Facts) -> Iterator[Markup]:
    """One part for each data set of the run."""
    several = sum(1 for _ in of_kind(facts, Dataset)) > 1
    for name, dataset in of_kind(facts, Dataset):
        entries = [entry for entry in dataset.funnel if isinstance(entry, Mapping)]
        yield element(
            "section",
            element("h2", f"Data: {name}" if several else "Data"),
            _table("Rows left by each step", ("Step", "Rows left", "Removed"), list(_rows(entries)))
            if entries
            else None,
            _table("Splits", ("Split", "Rows", "Share"), list(_splits(dataset.rows))),
            _duplicates(dataset),
        )


def _table(caption: str, headings: Sequence[str], rows: Sequence[Markup]) -> Markup | None:
    if not rows:
        return None
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    return element(
        "table", element("caption", caption), element("thead", head), element("tbody", *rows), class_="funnel"
    )


def _rows(entries: Sequence[Mapping[str, Any]]) -> Iterator[Markup]:
    most = max((reading.number(entry, "rows") or 0.0 for entry in entries), default=0.0)
    before: float | None = None
    for entry in entries:
        rows = reading.number(entry, "rows")
        removed = _removed(before, rows)
        yield _row(reading.text(entry, "step"), rows, most, removed, reading.text(entry, "note"))
        before = rows if rows is not None else before


def _removed(before: float | None, after: float | None) -> str:
    if before is None or after is None or before == after:
        return ""
    return wording.count(before - after) if after < before else f"{wording.count(after - before)} added"


def _splits(rows: Mapping[str, int]) -> Iterator[Markup]:
    counts = {split: reading.number(rows, split) or 0.0 for split in rows}
    whole = sum(counts.values())
    for split, count in counts.items():
        yield _row(split, count, whole, wording.share(count, whole), "")


def _row(label: str, rows: float | None, whole: float, beside: str, note: str) -> Markup:
    shown = "" if rows is None else wording.count(rows)
    about = element("div", note, class_="muted small", dir="auto") if note else None
    length = charts.bar(rows / whole) if rows is not None and whole else None
    return element(
        "tr",
        element("th", breakable(label), scope="row"),
        element(
            "td", element("div", element("span", shown, class_="number"), length, class_="beside"), about
        ),
        element("td", beside, class_="number muted"),
    )


def _duplicates(dataset: Dataset) -> Content:
    path = dataset.folder / "duplicates.jsonl"
    if not path.exists():
        return None
    read = reading.json_lines(path)
    shown = [element("li", *_fields(row)) for row in read.rows[:MOST_DUPLICATES]]
    told = f"{wording.counted(len(shown), 'pair')} of duplicates"
    more = (
        f" of the {wording.count(len(read.rows))} in duplicates.jsonl" if len(read.rows) > len(shown) else ""
    )
    return [
        element("details", element("summary", told + more), element("ol", *shown, class_="duplicates"))
        if shown
        else None,
        element("p", read.trouble, class_="trouble") if read.trouble else None,
    ]


def _fields(row: Mapping[str, Any]) -> Iterator[Markup]:
    for key, value in row.items():
        shown = value if isinstance(value, str) else reading.text(row, key) or str(value)
        yield element(
            "div",
            element("span", f"{key} ", class_="who"),
            element("span", shown[:LONGEST_DUPLICATE], dir="auto"),
        )
