"""The report of one dataset: a page that stands alone, with its profile as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from llmops_core import wording
from llmops_core.html.columns import Column, columns
from llmops_core.html.markup import Content, Markup, element
from llmops_core.html.page import page
from llmops_data.drifting import ABOUT, verdict
from llmops_data.exploring_rows import duplicates, outliers
from llmops_data.exploring_tables import (
    bar_row,
    bar_table,
    bars,
    by_split,
    counts,
    lead,
    legend,
    panels,
    part,
    plain_table,
    section,
)
from llmops_data.profile import PERSONAL
from llmops_data.versions import Version

VERDICTS = {"little": "done", "some": "refused", "much": "failed"}
"""The look of each."""


def rendered(
    version: Version, numbers: Mapping[str, Any], before: tuple[Version, Mapping[str, Any]] | None = None
) -> str:
    """The page. `numbers` is the dataset's profile, with its "drift" from `before` where there is one."""
    name = f"dataset {wording.digest(version.digest)}"
    return page(
        f"{name} · {version.recipe}" if version.recipe else name,
        _head(version, numbers),
        section("Rows left by each step", _funnel(numbers)),
        section("Splits", bars("Split", numbers["rows"]), _sources(numbers)),
        section("Length of a row", *_lengths(numbers)),
        section("Languages", *_languages(numbers)),
        section("Labels", *_labels(numbers)),
        section("Words", _sampled(numbers), *_words(numbers)),
        section("Duplicates", *duplicates(version, numbers)),
        section("Rows that stand out", *outliers(numbers)),
        section("Personal data", *_personal(numbers)),
        section("Drift", *_drift(numbers, before)),
    )


def _head(version: Version, numbers: Mapping[str, Any]) -> Markup:
    rows = sum(numbers["rows"].values())
    read = numbers["funnel"][0]["rows"] if numbers["funnel"] else rows
    lengths = numbers["lengths"]
    middle = lengths["quantiles"]["all"].get("50%", 0)
    whole = f"about {wording.count(lengths['mean'] * rows)} in all"
    said = ", ".join([*numbers["languages"]][:5])
    below = f"words in {wording.counted(numbers['sampled'], 'row')}"
    tiles = [
        ("Rows", wording.count(rows), f"of {wording.count(read)} read"),
        ("Median length", f"{wording.count(middle)} {lengths['unit']}", whole),
        ("Languages", wording.count(len(numbers["languages"])), said),
        ("Vocabulary", wording.count(numbers["vocabulary"]), below),
    ]
    by = f"{version.recipe} · {version.step} · run {version.run}" if version.run else "no run on record"
    facts = [
        ("Made by", by),
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
            "dl",
            *(element("div", element("dt", a), element("dd", b)) for a, b in facts if b),
            class_="facts",
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


def _sampled(numbers: Mapping[str, Any]) -> Markup | None:
    whole = sum(numbers["rows"].values())
    if not numbers["sampled"] or numbers["sampled"] >= whole:
        return None
    return lead(f"In {wording.count(numbers['sampled'])} of {wording.count(whole)} rows, chosen by hash.")


def _funnel(numbers: Mapping[str, Any]) -> Markup | None:
    most = max((entry["rows"] for entry in numbers["funnel"]), default=0)
    rows, before = [], None
    for entry in numbers["funnel"]:
        change = entry["rows"] - (before if before is not None else entry["rows"])
        gone = f"{change:+,}".replace("-", wording.MINUS) if change else ""
        rows.append(bar_row(str(entry["step"]), entry["rows"], most, gone, str(entry.get("note", ""))))
        before = entry["rows"]
    return bar_table(("Step", "Rows left", "Change"), rows)


def _sources(numbers: Mapping[str, Any]) -> Content:
    if len(numbers["sources"]) < 2:
        return None
    return [part("Where they come from"), by_split("Source", numbers["sources"], [*numbers["rows"]])]


def _lengths(numbers: Mapping[str, Any]) -> Iterator[Content]:
    lengths = numbers["lengths"]
    unit, bounds, found = lengths["unit"], lengths["histogram"]["bounds"], lengths["histogram"]["rows"]
    if not found:
        return
    yield lead(f"In {unit} of all texts of a row together ({lengths['by']}).")
    yield _sampled(numbers)
    edges = [f"{bound:,}" for bound in bounds]
    names = [
        f"under {edges[0]}",
        *(f"{low} to {high}" for low, high in pairwise(edges)),
        f"{edges[-1]} and more",
    ]
    drawn = [
        Column(count, f"{name} {unit}: {wording.counted(count, 'row')}")
        for name, count in zip(names, found, strict=True)
    ]
    about = f"Rows by their length in {unit}"
    yield columns(drawn, edges, about=about, x_title=f"{unit} a row", y_title="rows")
    for title, quantiles in (
        (unit.capitalize(), lengths["quantiles"]),
        ("Characters", numbers["characters"]),
    ):
        heads = [*quantiles["all"]]
        rows: list[list[Content]] = [
            [name, *(wording.count(one[head]) for head in heads)] for name, one in quantiles.items() if one
        ]
        yield plain_table([f"{title} a row", *(_quantile(head) for head in heads)], rows)


def _quantile(name: str) -> str:
    return {"0%": "shortest", "50%": "median", "100%": "longest"}.get(name, name.replace("%", " %"))


def _languages(numbers: Mapping[str, Any]) -> Iterator[Content]:
    if not numbers["languages_of_all"]:
        yield _sampled(numbers)
    if numbers["languages"]:
        yield bars("Language", numbers["languages"])
    if "und" in numbers["languages"]:
        yield element("p", "und: not told, too short or too mixed.", class_="muted small")


def _labels(numbers: Mapping[str, Any]) -> Iterator[Content]:
    for name, found in numbers["labels"].items():
        yield by_split(name, found, [*numbers["rows"]])
    if numbers["answers"]:
        longer, medians = numbers["answers"]["longer"], numbers["answers"]["median_characters"]
        yield part("Better and worse answers")
        told = " and ".join(f"{wording.count(count)} characters {side}" for side, count in medians.items())
        yield lead(f"Median lengths: {told}. Where the better one is mostly longer, a model learns length.")
        yield bars("Longer one", longer)


def _words(numbers: Mapping[str, Any]) -> Iterator[Content]:
    tables = (
        ("Word", "top_words"),
        ("Two words", "top_pairs"),
        ("Three words", "top_triples"),
        ("Opening of a row", "openings"),
    )
    if numbers["top_words"]:
        yield lead("Without words that say little by themselves (the, and, der, le, ...).")
    yield panels(*(counts(title, numbers[name]) for title, name in tables))


def _personal(numbers: Mapping[str, Any]) -> Iterator[Content]:
    for step, found in numbers["personal"].items():
        kinds = {kind: count for kind, count in found.items() if kind != PERSONAL}
        told = f"The step {step} found some in {wording.counted(found[PERSONAL], 'row')}"
        yield lead(f"{told}. What it did, by kind; the values are kept nowhere.")
        yield bars("Kind", kinds, "Times")


def _drift(numbers: Mapping[str, Any], before: tuple[Version, Mapping[str, Any]] | None) -> Iterator[Content]:
    if before is None:
        return
    old, was = before
    tagged = f" ({', '.join(old.tags)})" if old.tags else ""
    yield lead(f"How far it is from dataset {wording.digest(old.digest)}{tagged}; 0 is the same.")
    rows: list[list[Content]] = []
    for name, value in numbers["drift"].items():
        told = verdict(name, value)
        chip = element("span", told, class_=f"chip {VERDICTS[told]}")
        rows.append([name.capitalize(), f"{value:.3f}", chip, ABOUT[name]])
    yield plain_table(("Of", "Distance", "", "Measured by"), rows)
    yield from _both_lengths(numbers, was)


def _both_lengths(numbers: Mapping[str, Any], was: Mapping[str, Any]) -> Iterator[Content]:
    bounds = numbers["histogram"]["bounds"]
    now, then = (
        [sum(one) for one in zip(*some["histogram"]["splits"].values(), strict=True)]
        for some in (numbers, was)
    )
    filled = [place for place, pair in enumerate(zip(now, then, strict=True)) if any(pair)]
    if not filled or not sum(now) or not sum(then):
        return
    edges = [f"{bound:,}" for bound in bounds]
    names = [
        f"under {edges[0]}",
        *(f"{low} to {high}" for low, high in pairwise(edges)),
        f"{edges[-1]} and more",
    ]
    drawn = []
    for place in range(filled[0], filled[-1] + 1):
        shares = 100 * now[place] / sum(now), 100 * then[place] / sum(then)
        told = f"{names[place]} characters: {shares[0]:.1f} % now, {shares[1]:.1f} % before"
        drawn.append(Column(shares[0], told, shares[1]))
    yield legend((("column", "this dataset"), ("before", "the one before")))
    shown = edges[filled[0] : filled[-1]]
    about = "Shares of rows by their length in characters, now and before"
    yield columns(drawn, shown, about=about, x_title="characters a row", y_title="% of rows")
