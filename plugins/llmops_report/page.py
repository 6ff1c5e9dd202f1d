"""The whole report as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmops_core.artifacts import Artifact
from llmops_core.html.page import page
from llmops_report.comparison import comparison
from llmops_report.details import details, footer, told
from llmops_report.facts import Facts
from llmops_report.funnel import funnel
from llmops_report.overview import overview, title
from llmops_report.steps import steps
from llmops_report.training import training


def render(document: Mapping[str, Any], artifacts: Mapping[str, Artifact], notes: Sequence[str] = ()) -> str:
    """The report of a run.

    `document` is its manifest, `artifacts` maps a step's name to what it gave, `notes` are sentences
    about what could not be read. Keys missing from the manifest are left out of the report.
    """
    facts = Facts(document, artifacts, notes)
    return page(
        title(facts),
        overview(facts),
        steps(facts),
        comparison(facts),
        training(facts),
        funnel(facts),
        told(facts),
        details(facts),
        footer(facts),
    )
