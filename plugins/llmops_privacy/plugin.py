"""What this plugin offers: the data step `personal_data`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl

if TYPE_CHECKING:
    from llmops_core.config import Recipe

LLMOPS_CONTRACT = 1

SHOWING = ("exact", "near", "semantic")
"""Steps that show examples of the duplicates they found: texts as they were before later steps."""


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The step."""
    return (
        Implementation(
            group="data/step",
            name="personal_data",
            config="llmops_privacy.config:PersonalData",
            target="llmops_privacy.personal_data:personal_data",
            about="Finds personal data; redacts, masks, pseudonymises or counts it, or leaves the row out.",
            needs=("phonenumbers", "cryptography"),
            extra="llmops[data]",
            seeded=False,
        ),
    )


@hookimpl
def llmops_check(recipe: Recipe) -> Sequence[Problem]:
    """What the tier of names lacks here, and what would show values that the step takes out."""
    return [
        replace(problem, origin=recipe.origin(problem.where))
        for step in recipe.steps
        for name, part in getattr(step.config, "steps", {}).items()
        for problem in (
            *_lacking(part.config, f"{step.name}.steps.{name}"),
            *_shown(step.config, name, f"{step.name}.steps.{name}"),
        )
    ]


def _lacking(config: object, where: str) -> Iterator[Problem]:
    from llmops_privacy.config import PersonalData

    if not isinstance(config, PersonalData) or config.tier != "names":
        return
    remedy = "Run: pip install 'llmops[pii]'"
    absent = [name for name in ("presidio_analyzer", "spacy") if importlib.util.find_spec(name) is None]
    if absent:
        yield Problem(f"{where}.tier", f"names need {' and '.join(absent)}, not installed here", remedy)
    elif config.model_path is None and importlib.util.find_spec(config.model) is None:
        what = f"the spaCy model {config.model} is not installed here"
        yield Problem(f"{where}.model", what, f"{remedy}, or set model_path.")


def _shown(stage: Any, name: str, where: str) -> Iterator[Problem]:
    from llmops_privacy.config import PersonalData

    config = stage.steps[name].config
    if not isinstance(config, PersonalData) or config.action == "report" or not getattr(stage, "examples", 0):
        return
    for before, part in stage.steps.items():
        if before == name:
            return
        if part.use in SHOWING:
            what = f"{before} stands before it, so the examples of duplicates would show what it takes out"
            yield Problem(where, what, f"Put {name} before {before}, or set examples: 0.")
