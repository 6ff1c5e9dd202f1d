"""The flow: each stage, what it takes and what it gives. Reading this table is reading the architecture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """One input of a stage: its name, and the kind of artifact that fits."""

    name: str
    kind: str
    optional: bool = False


@dataclass(frozen=True)
class Stage:
    """A named place in the flow. A `live` stage acts on the world and is never taken from the store."""

    name: str
    about: str
    takes: tuple[Slot, ...]
    gives: str
    live: bool = False


STAGES = (
    Stage("infra", "provisions machines, or takes this one", (), "Cluster", live=True),
    Stage("data", "gather, clean, redact, deduplicate, split, version", (), "Dataset"),
    Stage("model", "open weights at an exact revision", (), "Model"),
    Stage(
        "train",
        "fine-tuning; the strategy is a sub-choice",
        (Slot("model", "Model"), Slot("data", "Dataset")),
        "Model",
    ),
    Stage(
        "evaluate",
        "metrics with intervals",
        (Slot("candidate", "Model"), Slot("baseline", "Model", optional=True), Slot("data", "Dataset")),
        "Scores",
    ),
    Stage(
        "release",
        "gates; refused unless they pass",
        (Slot("candidate", "Model"), Slot("scores", "Scores")),
        "Release",
    ),
    Stage(
        "deploy",
        "serving",
        (Slot("release", "Release"), Slot("infra", "Cluster", optional=True)),
        "Endpoint",
        live=True,
    ),
)

BY_NAME = {stage.name: stage for stage in STAGES}

BESIDE = {"track": "where runs are also recorded"}
"""Groups that are no stage: settings of the whole recipe, whose members stand there by name."""

OF_EVERY_STEP = {"launch": "where a step's process runs"}
"""Groups of parts that every step has beside those of its implementation."""
