"""What this plugin offers: the data stage `dialogues`, and the steps of its pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl

if TYPE_CHECKING:
    from llmops_core.config import Recipe

LLMOPS_CONTRACT = 1

FORMATS = (
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "text",
    "markdown",
    "html",
    "pdf",
    "sql",
    "chatterbot_yaml",
)


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The data stage and its steps."""
    return (
        Implementation(
            group="data",
            name="dialogues",
            config="llmops_data.config:DialogueData",
            target="llmops_data.dialogues:dialogues",
            about="Rows from files, packages and databases, cleaned, deduplicated and split by group.",
            accepts=FORMATS,
            estimate="llmops_data.estimate:estimate",
            needs=("yaml", "numpy", "pyarrow"),
            extra="llmops[data]",
            seeded=False,
        ),
        Implementation(
            group="data/engine",
            name="local",
            config="llmops_data.config:Local",
            target="llmops_data.parallel:local",
            about="Processes of this machine.",
            seeded=False,
        ),
        Implementation(
            group="data/engine",
            name="ray",
            config="llmops_data.config:Ray",
            target="llmops_data.cluster:ray_cluster",
            about="A Ray cluster: Ray Data, on one machine or many.",
            needs=("ray", "pandas"),
            extra="llmops[ray]",
            seeded=False,
        ),
        _step("normalise", "Normalise", "One spelling of every character and space; empty rows left out."),
        _step("exact", "Exact", "Keeps the first of rows that say the same.", ("numpy",)),
        _step("near", "Near", "Drops or groups rows that say nearly the same (MinHash).", ("numpy", "rensa")),
        Implementation(
            group="data/step",
            name="semantic",
            config="llmops_data.config:Semantic",
            target="llmops_data.semantic:semantic",
            about="Drops or groups rows that mean nearly the same (embeddings).",
            needs=("numpy", "torch", "transformers", "usearch"),
            extra="llmops[embed]",
            seeded=False,
        ),
        _step("repair", "Repair", "Mends text that was decoded wrongly (ftfy).", ("ftfy",)),
        _step("markup", "Markup", "Takes out tags, and lines that stand in many rows.", ("numpy",)),
        _step("quality", "Quality", "Leaves out texts that are no prose (Gopher's and C4's rules)."),
        _step(
            "language", "Language", "Finds languages with a bundled model, and keeps some.", ("py3langid",)
        ),
        _step(
            "decontaminate",
            "Decontaminate",
            "Leaves out rows that hold parts of evaluation sets.",
            ("numpy",),
        ),
        _step("length", "Length", "Leaves out rows that are too short or too long."),
    )


@hookimpl
def llmops_check(recipe: Recipe) -> Sequence[Problem]:
    """Sources in stores that nothing here can open."""
    from llmops_data.capabilities import problems
    from llmops_data.config import DialogueData

    return [
        replace(problem, origin=recipe.origin(problem.where))
        for step in recipe.steps
        if isinstance(step.config, DialogueData)
        for problem in problems(step.config, step.name)
    ]


def _step(name: str, config: str, about: str, needs: Sequence[str] = ()) -> Implementation:
    return Implementation(
        group="data/step",
        name=name,
        config=f"llmops_data.config:{config}",
        target=f"llmops_data.{name}:{name}",
        about=about,
        needs=needs,
        extra="llmops[data]",
        seeded=False,
    )
