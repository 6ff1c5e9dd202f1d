"""What is wrong with a recipe's releases, found before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from llmops_core.errors import Problem
from llmops_release.config import GatedRelease

if TYPE_CHECKING:
    from llmops_core.config import Recipe, Step


def problems(recipe: Recipe) -> Sequence[Problem]:
    """Every problem of the recipe's gated releases."""
    found: list[Problem] = []
    for step in recipe.steps:
        if isinstance(step.config, GatedRelease):
            found += _of(step, step.config, recipe)
    return found


def _of(step: Step, config: GatedRelease, recipe: Recipe) -> list[Problem]:
    scoring = next((one for one in recipe.steps if one.name == step.inputs.get("scores")), None)
    known = recipe.gives(scoring) if scoring is not None else ()
    if not config.gates:
        example = "perplexity_ratio" if "perplexity_ratio" in known or not known else known[0]
        return [
            Problem(
                f"{step.name}.gates",
                "a release needs at least one gate, else anything would be released",
                f"Add one: +{step.name}.gates.{example}.at_most=0.8",
                recipe.origin(step.name),
            )
        ]
    if scoring is None:
        # a release without scores is told by whoever wires the steps
        return []
    return [
        Problem(
            path := f"{step.name}.gates.{name}",
            f"nobody computes the score {name}",
            _nearest(name, known, scoring.name),
            recipe.origin(path),
        )
        for name in config.gates
        if name not in known
    ]


def _nearest(name: str, known: Sequence[str], scoring: str) -> str:
    if not known:
        return f"The step {scoring} computes no score: add a metric to it."
    near = get_close_matches(name, known, n=1)
    listed = f"{scoring} computes: {', '.join(known)}."
    return f"Did you mean {near[0]}? {listed}" if near else listed[0].upper() + listed[1:]
