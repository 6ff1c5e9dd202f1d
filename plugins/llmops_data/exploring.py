"""The report of one dataset: a page that stands alone, with its profile as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from llmops_core import wording
from llmops_core.html import charts
from llmops_core.html.markup import Content, Markup, element
from llmops_core.html.page import page
from llmops_data.auditing import Limits
from llmops_data.versions import Version

MOST = 15
"""Lines of a table of frequencies."""
EXAMPLES = 10
LONGEST = 600


def rendered(version: Version, numbers: Mapping[str, Any], apart: Mapping[str, float] | None = None) -> str:
    """The page. `numbers` is the dataset's profile; `apart` its drift against the version before, if any."""
    name = f"dataset {wording.digest(version.digest)}"
    return page(
        f"{name} · {version.recipe}" if version.recipe else name,
        _head(version, numbers),
        _section("Rows left by each step", _funnel(numbers)),
        _section("Splits", _bars("Split", numbers["rows"])),
        _section("Length of a row", _lengths(numbers)),
        _section("Languages", _sampled(numbers), _bars("Language", numbers["languages"])),
        _section("Words", _sampled(numbers), _words(numbers)),
        _section("Duplicates", _duplicates(version)),
        _section("Longest and shortest rows", _outliers(numbers)),
        _section("Drift", _drift(version, apart)),
    )


def _head(version: Version, numbers: Mapping[str, Any]) -> Markup:
    rows = sum(numbers["rows"].values())
    read = numbers["funnel"][0]["rows"] if numbers["funnel"] else rows
    middle = numbers["characters"]["all"].get("50%", 0)
    tiles = [
        ("Rows", wording.count(rows), f"of {wording.count(read)} read"),
        ("Median length", wording.count(middle), "characters a row"),
        ("Languages", wording.count(len(numbers["languages"])), ", ".join([*numbers["languages"]][:5])),
        (
            "Vocabulary",
            wording.count(numbers["vocabulary"]),
            f"words in {wording.counted(numbers['sampled'], 'row')}",
        ),
    ]
    facts = [
        (
            "Made by",
            f"{version.recipe} · {version.step} · run {version.run}" if version.run else "no run on record",
        ),
        ("Made", wording.moment(version.made)),
        ("Digest", element("code", version.digest)),
        ("Before it", element("code", wording.digest(version.parent)) if version.parent else "nothing"),
        ("Tags", ", ".join(version.tags) or "none"),
        ("Shape", version.dataset.shape),
    ]
    return element(
        "header",
        element("p", element("span", "llmops"), " data", class_="kicker"),
        element("h1", version.dataset.summary()),
        element("div", *(_tile(*tile) for tile in tiles), class_="tiles"),
        element(
            "dl", *(element("div", element("dt", a), element("dd", b)) for a, b in facts), class_="facts"
        ),
        class_="overview",
    )


def _tile(label: str, figure: str, below: str) -> Markup:
    return element(
        "div",
        element("p", label, class_="label"),
        element("p", figure, class_="figure"),
        element("p", below, class_="below"),
        class_="tile",
    )


def _section(title: str, *content: Content) -> Markup | None:
    return element("section", element("h2", title), *content) if any(content) else None


def _sampled(numbers: Mapping[str, Any]) -> Markup | None:
    whole = sum(numbers["rows"].values())
    if numbers["sampled"] >= whole:
        return None
    told = f"In {wording.count(numbers['sampled'])} of {wording.count(whole)} rows, chosen by hash."
    return element("p", told, class_="lead")


def _table(headings: Sequence[str], rows: Sequence[Markup]) -> Markup | None:
    if not rows:
        return None
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    return element("table", element("thead", head), element("tbody", *rows), class_="funnel")


def _row(label: str, count: float, whole: float, beside: str, note: str = "") -> Markup:
    about = element("div", note, class_="muted small", dir="auto") if note else None
    shown = element("span", wording.count(count), class_="number")
    bar = charts.bar(count / whole) if whole else None
    cell = element("td", element("div", shown, bar, class_="beside"), about)
    return element(
        "tr", element("th", label, scope="row"), cell, element("td", beside, class_="number muted")
    )


def _funnel(numbers: Mapping[str, Any]) -> Markup | None:
    most = max((entry["rows"] for entry in numbers["funnel"]), default=0)
    rows, before = [], None
    for entry in numbers["funnel"]:
        gone = (
            ""
            if before in (None, entry["rows"])
            else f"{entry['rows'] - before:+,}".replace("-", wording.MINUS)
        )
        rows.append(_row(str(entry["step"]), entry["rows"], most, gone, str(entry.get("note", ""))))
        before = entry["rows"]
    return _table(("Step", "Rows left", "Change"), rows)


def _bars(what: str, counts: Mapping[str, float]) -> Markup | None:
    whole, most = sum(counts.values()), max(counts.values(), default=0)
    shown = [*counts.items()][:MOST]
    rows = [_row(name, count, most, wording.share(count, whole)) for name, count in shown]
    return _table((what, "Count", "Share"), rows)


def _lengths(numbers: Mapping[str, Any]) -> Iterator[Content]:
    bounds, splits = numbers["histogram"]["bounds"], numbers["histogram"]["splits"]
    summed = [sum(counts) for counts in zip(*splits.values(), strict=True)]
    edges = [
        f"under {bounds[0]:,}",
        *(f"{low:,} to {high:,}" for low, high in pairwise(bounds)),
    ]
    filled = [place for place, count in enumerate(summed) if count]
    if filled:
        names = [*edges, f"{bounds[-1]:,} and more"]
        yield _bars_between(names, summed, filled[0], filled[-1])
    heads = [*numbers["characters"]["all"]]
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(element("td", wording.count(found[one])) for one in heads),
        )
        for name, found in numbers["characters"].items()
        if found
    ]
    head = element(
        "tr", element("th", "Quantile", scope="col"), *(element("th", one, scope="col") for one in heads)
    )
    yield element("div", element("table", element("thead", head), element("tbody", *rows)), class_="scrolls")


def _bars_between(names: Sequence[str], counts: Sequence[int], first: int, last: int) -> Markup | None:
    whole, most = sum(counts), max(counts)
    rows = [
        _row(names[place], counts[place], most, wording.share(counts[place], whole))
        for place in range(first, last + 1)
    ]
    return _table(("Characters", "Rows", "Share"), rows)


def _words(numbers: Mapping[str, Any]) -> Markup:
    tables = (("Word", "top_words"), ("Pair of words", "top_pairs"), ("Opening", "openings"))
    panels = (element("div", _counts(title, numbers[name]), class_="panel") for title, name in tables)
    return element("div", *panels, class_="panels")


def _counts(what: str, counts: Mapping[str, int]) -> Markup | None:
    """Like `_bars`, where there is no room for bars."""
    rows = [
        element("tr", element("th", name, scope="row"), element("td", wording.count(count), class_="number"))
        for name, count in [*counts.items()][:MOST]
    ]
    head = element("tr", element("th", what, scope="col"), element("th", "Count", scope="col"))
    return element("table", element("thead", head), element("tbody", *rows)) if rows else None


def _duplicates(version: Version) -> Markup | None:
    path = version.dataset.folder / "duplicates.jsonl"
    if not path.exists():
        return None
    shown = []
    with path.open(encoding="utf-8") as lines:
        for line, _ in zip(lines, range(EXAMPLES), strict=False):
            one = json.loads(line)
            told = f"{one['step']} · {one['done']} · similarity {one['similarity']:.2f}"
            texts = (
                element("p", one[side][:LONGEST], class_="detail", dir="auto") for side in ("first", "second")
            )
            shown.append(element("li", element("p", told, class_="muted small"), *texts))
    return element("ol", *shown, class_="duplicates") if shown else None


def _outliers(numbers: Mapping[str, Any]) -> Markup | None:
    rows = [
        element(
            "tr",
            element("th", wording.count(one["characters"]), scope="row"),
            element("td", one["split"]),
            element("td", one["text"], dir="auto"),
        )
        for one in numbers["outliers"]
    ]
    if not rows:
        return None
    head = element("tr", *(element("th", one, scope="col") for one in ("Characters", "Split", "Text")))
    return element("table", element("thead", head), element("tbody", *rows))


def _drift(version: Version, apart: Mapping[str, float] | None) -> Markup | None:
    if apart is None:
        return None
    usual = Limits()
    rows = [
        _row(name, value * 100, 100, "much" if value > getattr(usual, name) else "little")
        for name, value in apart.items()
    ]
    lead = (
        "How far it is from the version before, in hundredths: the stability index of the lengths, and the "
    )
    about = element("p", f"{lead}divergence of words and of languages.", class_="lead")
    return element("div", about, _table(("Of", "Apart", ""), rows))
