"""The whole report as one HTML file: no script, no font, no image from anywhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from llmops_core.artifacts import Artifact
from llmops_report.comparison import comparison
from llmops_report.details import details, footer, told
from llmops_report.facts import Facts
from llmops_report.funnel import funnel
from llmops_report.markup import Markup, element, joined
from llmops_report.overview import overview, title
from llmops_report.steps import steps
from llmops_report.training import training

# Model answers are shown in this page: even if one slipped through, nothing would load or run.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(document: Mapping[str, Any], artifacts: Mapping[str, Artifact], notes: Sequence[str] = ()) -> str:
    """The report of a run.

    `document` is its manifest, `artifacts` maps a step's name to what it gave, `notes` are sentences
    about what could not be read. Keys missing from the manifest are left out of the report.
    """
    facts = Facts(document, artifacts, notes)
    body = element(
        "main",
        overview(facts),
        steps(facts),
        comparison(facts),
        training(facts),
        funnel(facts),
        told(facts),
        details(facts),
        footer(facts),
    )
    return f"<!doctype html>\n{element('html', _head(title(facts)), element('body', body), lang='en')}\n"


def _head(name: str) -> Markup:
    style = resources.files("llmops_report").joinpath("report.css").read_text(encoding="utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="color-scheme", content="light dark"),
        element("title", joined(name)),
        element("style", Markup(style)),
    )
