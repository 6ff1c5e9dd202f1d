"""The steps: what each did, what came of it, and what it took beside what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmops_core import wording
from llmops_core.html import charts
from llmops_core.html.markup import Content, Markup, element
from llmops_report import reading
from llmops_report.facts import Facts
from llmops_report.overview import SIGNS

HEADINGS = ("Step", "What it did", "Result", "Time", "Needed")
SHOWN: Mapping[str, Callable[[float], str]] = {
    "time": wording.duration,
    "memory": wording.size,
    "download": wording.size,
}


def steps(facts: Facts) -> Markup | None:
    """The table of steps."""
    if not facts.steps:
        return None
    longest = max((reading.number(step, "seconds") or 0.0 for step in facts.steps), default=0.0)
    head = (element("th", heading, scope="col", role="columnheader") for heading in HEADINGS)
    # Narrow screens show each row as a card, and a table laid out as blocks loses its roles.
    table = element(
        "table",
        element("thead", element("tr", *head, role="row"), role="rowgroup"),
        element("tbody", *(_row(step, longest) for step in facts.steps), role="rowgroup"),
        role="table",
        class_="steps",
        aria_labelledby="steps",
    )
    return element("section", element("h2", "Steps", id="steps"), table)


def _row(step: Mapping[str, Any], longest: float) -> Markup:
    name, stage, use = (reading.text(step, key) for key in ("name", "stage", "use"))
    told: list[Content] = [element("strong", name)]
    if stage and stage != name:
        told.append(element("span", f" {stage}", class_="muted"))
    if use:
        told.append(element("div", element("code", use)))
    cells = (_did(step), _result(step), _time(step, longest), _needed(step))
    return element(
        "tr",
        element("th", *told, scope="row", role="rowheader"),
        *(
            element("td", cell, role="cell", data_label=label)
            for label, cell in zip(HEADINGS[1:], cells, strict=True)
        ),
        role="row",
        class_=reading.text(step, "status") or "unknown",
    )


def _did(step: Mapping[str, Any]) -> Content:
    status = reading.text(step, "status") or "unknown"
    attempts = reading.number(step, "attempts") or 0
    shown = "ran" if status == "done" else status
    sign = SIGNS["done"] if status == "reused" else SIGNS.get(status, "\N{MIDDLE DOT}")
    reason = reading.text(step, "reason")
    return [
        element(
            "span", element("span", sign, class_="sign", aria_hidden="true"), shown, class_=f"chip {status}"
        ),
        element("div", reason, class_="muted small") if reason else None,
        element("div", f"in {wording.count(attempts)} attempts", class_="muted small")
        if attempts > 1
        else None,
    ]


def _result(step: Mapping[str, Any]) -> Content:
    given = len(reading.texts(step, "warnings"))
    result = reading.text(step, "result") or reading.text(reading.mapping(step, "error"), "what")
    warned = element("a", wording.counted(given, "warning"), href="#told", class_="warned small")
    return [
        element("div", result, class_="result") if result else None,
        element("div", warned) if given else None,
    ]


def _time(step: Mapping[str, Any], longest: float) -> Content:
    seconds = reading.number(step, "seconds")
    if seconds is None:
        seconds = reading.number(reading.mapping(step, "actual"), "time")
    estimate = _estimated(step, "time")
    return [
        element("div", wording.duration(seconds), class_="number") if seconds is not None else None,
        charts.bar(seconds / longest)
        if seconds and longest and reading.text(step, "status") != "reused"
        else None,
        element("div", f"expected {estimate}", class_="muted small") if estimate else None,
    ]


def _needed(step: Mapping[str, Any]) -> Content:
    actual = reading.mapping(step, "actual")
    told: list[Content] = []
    for what in ("memory", "download"):
        value, estimate = reading.number(actual, what), _estimated(step, what)
        if value:
            told.append(element("div", f"{SHOWN[what](value)} {what}"))
        if estimate and (value or reading.text(step, "status") != "reused"):
            expected = f"expected {estimate}" if value else f"{what}: expected {estimate}"
            told.append(element("div", expected, class_="muted small"))
    return told


def _estimated(step: Mapping[str, Any], what: str) -> str:
    estimate = reading.mapping(reading.mapping(step, "estimate"), what)
    value, basis = reading.number(estimate, "value"), reading.text(estimate, "basis")
    if value is None or value <= 0:
        return ""
    return SHOWN[what](value) + (f", {basis}" if basis else "")
