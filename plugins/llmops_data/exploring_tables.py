"""Tables of a dataset's report: counts with bars, and what a legend says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmops_core import wording
from llmops_core.html import charts
from llmops_core.html.markup import Content, Markup, element

MOST = 15
"""Lines of a table of frequencies."""


def section(title: str, *content: Content) -> Markup | None:
    """A part of the page; none where there is nothing to show."""
    shown = [one for one in content if one]
    return element("section", element("h2", title), *shown) if shown else None


def lead(text: str) -> Markup:
    """What a part shows, in a sentence or two."""
    return element("p", text, class_="lead")


def part(title: str) -> Markup:
    """A heading within a part."""
    return element("h3", title, class_="part")


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[Content]]) -> Markup | None:
    """A table whose first column names its rows; wider than the page, it scrolls."""
    if not rows:
        return None
    head = element("tr", *(element("th", one, scope="col") for one in headings))
    body = (
        element(
            "tr", element("th", row[0], scope="row", dir="auto"), *(element("td", one) for one in row[1:])
        )
        for row in rows
    )
    return element("div", element("table", element("thead", head), element("tbody", *body)), class_="scrolls")


def bar_table(headings: tuple[str, str, str], rows: Sequence[Markup]) -> Markup | None:
    """A table of `bar_row`s."""
    if not rows:
        return None
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    return element("table", element("thead", head), element("tbody", *rows), class_="funnel")


def bar_row(label: str, count: float, most: float, beside: str, note: str = "") -> Markup:
    """A name, a number with a bar as long as its part of `most`, and something beside it."""
    about = element("div", note, class_="muted small", dir="auto") if note else None
    shown = element("span", wording.count(count), class_="number")
    bar = charts.bar(count / most) if most else None
    cell = element("td", element("div", shown, bar, class_="beside"), about)
    name = element("th", label, scope="row", dir="auto")
    return element("tr", name, cell, element("td", beside, class_="number muted"))


def bars(what: str, counts: Mapping[str, float], counted: str = "Rows") -> Content:
    """The commonest of some counts, with their shares."""
    whole, most = sum(counts.values()), max(counts.values(), default=0)
    rows = [
        bar_row(name, count, most, wording.share(count, whole)) for name, count in [*counts.items()][:MOST]
    ]
    return [bar_table((what, counted, "Share"), rows), rest(len(counts))]


def rest(count: int) -> Markup | None:
    """What a table of frequencies leaves out."""
    return (
        element("p", f"{count - MOST:,} more are in the JSON.", class_="muted small")
        if count > MOST
        else None
    )


def panels(*found: Content) -> Markup | None:
    """Small tables beside each other."""
    shown = [element("div", one, class_="panel") for one in found if one]
    return element("div", *shown, class_="panels") if shown else None


def counts(what: str, found: Mapping[str, float], counted: str = "Count") -> Markup | None:
    """Like `bars`, where there is no room for bars."""
    rows = [
        element(
            "tr",
            element("th", name, scope="row", dir="auto"),
            element("td", wording.count(count), class_="number amount"),
        )
        for name, count in [*found.items()][:MOST]
    ]
    head = element(
        "tr", element("th", what, scope="col"), element("th", counted, scope="col", class_="amount")
    )
    return element("table", element("thead", head), element("tbody", *rows)) if rows else None


def by_split(what: str, found: Mapping[str, Mapping[str, int]], splits: Sequence[str]) -> Markup | None:
    """Rows of each value in each split, with the value's share of the split."""
    used = [split for split in splits if any(one.get(split) for one in found.values())]
    wholes = {split: sum(one.get(split, 0) for one in found.values()) for split in used}
    most = max((sum(one.values()) for one in found.values()), default=0)
    rows: list[list[Content]] = []
    for name, one in [*found.items()][:MOST]:
        cells: list[Content] = [
            f"{wording.count(one.get(split, 0))} ({wording.share(one.get(split, 0), wholes[split])})"
            for split in used
        ]
        rows.append([name, charts.bar(sum(one.values()) / most) if most else None, *cells])
    return plain_table([what, "", *used], rows)


def legend(keys: Sequence[tuple[str, str]]) -> Markup:
    """What a plot's marks mean: (CSS class, words) for each."""
    swatches = ((element("span", class_=f"swatch {look}", aria_hidden="true"), words) for look, words in keys)
    return element("ul", *(element("li", *swatch) for swatch in swatches), class_="legend")
