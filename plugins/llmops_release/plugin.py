"""What this plugin offers: the release stage `gated`, and checks of its gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl

if TYPE_CHECKING:
    from llmops_core.config import Recipe

LLMOPS_CONTRACT = 1


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The gated release."""
    return (
        Implementation(
            group="release",
            name="gated",
            config="llmops_release.config:GatedRelease",
            target="llmops_release.gated:gated",
            about="Releases the candidate when every gate on its scores passes, with a model card.",
            estimate="llmops_release.estimate:estimate",
            seeded=False,
        ),
    )


@hookimpl
def llmops_check(recipe: Recipe) -> Sequence[Problem]:
    """Releases without gates, and gates on scores that the evaluation does not compute."""
    from llmops_release.checks import problems

    return problems(recipe)
