"""What happened: the verdict, the figures that matter most, and how the run was started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Dataset, Scores
from llmops_core.html.markup import Content, Markup, element
from llmops_report import reading
from llmops_report.facts import Facts, gates, of_kind
from llmops_report.verdict import Verdict, verdict

SIGNS = {
    "done": "\N{CHECK MARK}",
    "refused": "!",
    "failed": "\N{MULTIPLICATION X}",
    "interrupted": "\N{EN DASH}",
    "running": "\N{HORIZONTAL ELLIPSIS}",
}
STEPS_TOLD = {
    "done": "ran",
    "reused": "reused",
    "failed": "failed",
    "refused": "refused",
    "interrupted": "interrupted",
    "pending": "not reached",
}
SCORE_TILES = 2


def title(facts: Facts) -> str:
    """The page's title: which run this is."""
    recipe = reading.text(facts.document, "recipe")
    name = reading.text(facts.document, "name")
    run = "run " + (reading.text(facts.document, "id") or "without a number")
    return " \N{MIDDLE DOT} ".join(part for part in (run, recipe, name) if part)


def overview(facts: Facts) -> Markup:
    """The head of the report."""
    told = verdict(facts)
    return element(
        "header",
        element("p", element("span", "llmops"), " ", title(facts), class_="kicker"),
        _verdict(told),
        element("div", *_tiles(facts), class_="tiles"),
        element("dl", *(_fact(*fact) for fact in _facts(facts) if fact[1]), class_="facts"),
        class_=f"overview {told.status}",
    )


def _verdict(told: Verdict) -> Markup:
    sign = element("span", SIGNS.get(told.status, "?"), class_="sign", aria_hidden="true")
    status = element("span", sign, told.status, class_=f"status {told.status}")
    return element(
        "div",
        element("h1", status, " ", element("span", told.headline)),
        element("p", told.detail, class_="detail") if told.detail else None,
        element("p", told.remedy, class_="remedy") if told.remedy else None,
        element("p", element("code", told.command)) if told.command else None,
        class_="verdict",
    )


def _tiles(facts: Facts) -> Iterator[Markup]:
    yield from _score_tiles(facts)
    for name, dataset in of_kind(facts, Dataset):
        counts = [reading.number(entry, "rows") for entry in dataset.funnel if isinstance(entry, Mapping)]
        known = [rows for rows in counts if rows is not None]
        if known:
            shown = [wording.count(known[0]), wording.count(known[-1])]
            yield _tile(f"rows of {name}", shown, "gathered \N{RIGHTWARDS ARROW} kept")
    seconds = reading.number(facts.document, "seconds")
    if seconds is not None:
        yield _tile("whole run", [wording.duration(seconds)], _steps_told(facts))


def _score_tiles(facts: Facts) -> Iterator[Markup]:
    gated = [gate.score for gate in gates(facts)]
    for _, scores in of_kind(facts, Scores):
        both = [name for name in scores.values if name in scores.baseline]
        first = [name for name in both if any(gate.startswith(name) for gate in gated)]
        # Scores that fall often say the same twice (perplexity and its logarithm).
        rising = [
            name for name in both if reading.text(reading.mapping(scores.values, name), "better") == "higher"
        ]
        chosen = list(dict.fromkeys([*first, *rising, *both]))[:SCORE_TILES]
        for name in chosen:
            before = reading.number(reading.mapping(scores.baseline, name), "value")
            after = reading.number(reading.mapping(scores.values, name), "value")
            if before is not None and after is not None:
                yield _tile(
                    name,
                    [wording.score(before), wording.score(after)],
                    "baseline \N{RIGHTWARDS ARROW} candidate",
                )
        return


def _tile(label: str, figures: Sequence[str], below: str) -> Markup:
    arrow = element("span", " \N{RIGHTWARDS ARROW} ", class_="arrow")
    figure: list[Content] = [element("span", figures[0], class_="from" if figures[1:] else None)]
    if figures[1:]:
        figure += [arrow, figures[1]]
    return element(
        "div",
        element("p", label, class_="label"),
        element("p", *figure, class_="figure"),
        element("p", below, class_="below"),
        class_="tile",
    )


def _steps_told(facts: Facts) -> str:
    statuses = [reading.text(step, "status") for step in facts.steps]
    told = [(statuses.count(status), word) for status, word in STEPS_TOLD.items()]
    return ", ".join(f"{wording.count(number)} {word}" for number, word in told if number)


def _fact(label: str, value: Content) -> Markup:
    return element("div", element("dt", label), element("dd", value))


def _facts(facts: Facts) -> Iterator[tuple[str, Content]]:
    document = facts.document
    overrides = [element("code", override) for override in reading.texts(document, "overrides")]
    spaced: list[Content] = [piece for code in overrides for piece in (code, " ")]
    yield (
        "Recipe",
        element("code", reading.text(document, "recipe")) if reading.text(document, "recipe") else "",
    )
    yield "Overrides", spaced or "none"
    yield "Environment", reading.text(document, "environment")
    yield "Seed", reading.text(document, "seed")
    yield "Started", wording.moment(reading.text(document, "started"))
    yield "Ended", wording.moment(reading.text(document, "ended"))
    yield "Machine", machine(reading.mapping(document, "machine"))
    yield "Code", commit(reading.mapping(document, "git"))
    yield "Parent", reading.text(document, "parent")
    yield "Tags", ", ".join(reading.texts(document, "tags"))


def machine(record: Mapping[str, Any]) -> str:
    """A machine on one line."""
    cores, memory = reading.number(record, "cores"), reading.number(record, "memory")
    python = reading.text(record, "python")
    parts = (
        reading.text(record, "system"),
        reading.text(record, "processor"),
        wording.counted(int(cores), "core") if cores else "",
        wording.size(memory) if memory else "",
        f"Python {python}" if python else "",
    )
    return " \N{MIDDLE DOT} ".join(part for part in parts if part)


def commit(record: Mapping[str, Any]) -> str:
    """A git commit on one line."""
    name = reading.text(record, "commit")[:12]
    return f"{name} with uncommitted changes" if name and record.get("dirty") is True else name
