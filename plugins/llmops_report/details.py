"""What went wrong or nearly so, and what is kept for looking things up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Endpoint
from llmops_core.html.markup import Content, Markup, element, joined
from llmops_report import reading
from llmops_report.facts import Facts, errors, warnings
from llmops_report.overview import commit, machine
from llmops_report.verdict import command, sentence

DEEPEST = 20
"""Levels of nesting that a configuration is shown with."""


def told(facts: Facts) -> Markup | None:
    """Errors, warnings, and what this report could not read."""
    items = [
        *(_item("failed", "error", step, sentence(error), error) for step, error in errors(facts)),
        *(_item("refused", "warning", step, warning, {}) for step, warning in warnings(facts)),
        *(_item("refused", "this report", "", note, {}) for note in facts.notes),
    ]
    if not items:
        return None
    return element(
        "section", element("h2", "Warnings and errors", id="told"), element("ul", *items, class_="told")
    )


def _item(look: str, label: str, step: str, words: str, error: Mapping[str, Any]) -> Markup:
    remedy = reading.text(error, "remedy")
    return element(
        "li",
        element("span", label, class_=f"chip {look}"),
        " ",
        element("strong", step, " ") if step else None,
        element("span", words, dir="auto"),
        element("div", remedy, class_="remedy") if remedy else None,
    )


def details(facts: Facts) -> Markup:
    """The folded part: everything needed to look something up or to run it again."""
    document = facts.document
    again = command(document)
    parts = (
        ("Resolved configuration", _configuration(reading.mapping(document, "config"))),
        ("Keys and digests", _digests(facts)),
        ("Packages", _pairs(reading.mapping(document, "packages"))),
        ("Code and machine", _pairs(dict(_origins(facts)))),
    )
    folded = [
        element("details", element("summary", heading), content, class_="folded")
        for heading, content in parts
        if content
    ]
    run = element("p", "Run it again: ", element("code", again), class_="muted") if again else None
    return element("section", element("h2", "Details"), run, *folded)


def _configuration(config: Mapping[str, Any]) -> Markup | None:
    return element("pre", "\n".join(outline(config)), tabindex=0) if config else None


def outline(value: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """A nested mapping as indented lines, like the YAML it came from."""
    indent = "  " * depth
    for key, held in value.items():
        if isinstance(held, Mapping) and held and depth < DEEPEST:
            yield f"{indent}{key}:"
            yield from outline(held, depth + 1)
        else:
            yield f"{indent}{key}: {_scalar(held)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and value.strip() == value and value and "\n" not in value:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _digests(facts: Facts) -> Markup | None:
    rows = [
        element(
            "tr",
            element("th", reading.text(step, "name"), scope="row"),
            element("td", element("code", reading.text(step, "key"))),
            element("td", element("code", reading.text(step, "output"))),
            element("td", _inputs(reading.mapping(step, "inputs"))),
        )
        for step in facts.steps
    ]
    if not rows:
        return None
    head = element("tr", *(element("th", name, scope="col") for name in ("Step", "Key", "Output", "Inputs")))
    table = element("table", element("thead", head), element("tbody", *rows), class_="digests")
    return element("div", table, class_="scrolls", tabindex=0, role="group", aria_label="Keys and digests")


def _inputs(inputs: Mapping[str, Any]) -> Content:
    return [
        element("div", f"{slot} ", element("code", wording.digest(reading.text(inputs, slot))))
        for slot in inputs
    ]


def _pairs(values: Mapping[str, Any]) -> Markup | None:
    rows = [
        element(
            "tr", element("th", name, scope="row"), element("td", reading.text(values, name) or "\N{EN DASH}")
        )
        for name in values
    ]
    return element("table", element("tbody", *rows), class_="pairs") if rows else None


def _origins(facts: Facts) -> Iterator[tuple[str, str]]:
    document = facts.document
    known = (
        ("Recipe's file", reading.text(document, "recipe_path")),
        ("Git commit", reading.text(reading.mapping(document, "git"), "commit")),
        ("Working tree", commit(reading.mapping(document, "git"))),
        ("Machine", machine(reading.mapping(document, "machine"))),
        ("Manifest's format", reading.text(document, "format")),
    )
    yield from ((label, value) for label, value in known if value)
    for name, artifact in facts.artifacts.items():
        if isinstance(artifact, Endpoint):
            stopped = "" if artifact.process else " (stopped since)"
            yield f"Endpoint of {name}", f"{artifact.url}{stopped}"


def footer(facts: Facts) -> Markup:
    """The last line."""
    name = reading.text(facts.document, "id")
    shown = joined(
        "Written by llmops. ", ("More: ", element("code", f"llmops runs show {name}")) if name else None
    )
    return element("footer", shown)
