"""The typed shape of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core.hookspecs import Implementation
from llmops_core.origins import Origins
from llmops_core.settings import Part, part, parts, setting

FORMAT = 1
"""The version of the recipe format that this release writes and reads."""


@dataclass(frozen=True)
class Retry:
    """What to do when a step fails for a reason that may pass."""

    times: int = setting(0, doc="How often to try again.", at_least=0, output=False)
    wait: float = setting(5.0, doc="Pause before trying again.", unit="seconds", at_least=0, output=False)


@dataclass(frozen=True)
class StepSettings:
    """What every step has beside the fields of its implementation."""

    inputs: Mapping[str, str] = setting(
        factory=dict, doc="Rewires a slot to another step: {data: documents}.", output=False
    )
    retry: Retry = setting(factory=Retry, doc="Trying again after a failure.", output=False)
    time_limit: float | None = setting(
        None, doc="The step is stopped and fails after this long.", unit="seconds", above=0, output=False
    )
    launch: Part = part("launch", "here", doc="Where its process runs.", output=False)


@dataclass(frozen=True)
class RecipeSettings:
    """The values at the top of a recipe."""

    format: int = setting(
        FORMAT, doc="The version of the recipe format.", at_least=1, at_most=FORMAT, output=False
    )
    about: str = setting("", doc="What this recipe is for, in a sentence.", output=False)
    seed: int = setting(7, doc="Where all randomness starts.", at_least=0, at_most=2**31 - 1)
    store: str = setting(
        "",
        doc="The folder of artifacts and the records of runs; empty: $LLMOPS_STORE, else .llmops here.",
        output=False,
    )
    track: Mapping[str, Part] = parts(
        "track", doc="Where this recipe's runs are also recorded.", output=False
    )


@dataclass(frozen=True)
class Step:
    """A stage of a recipe with its implementation, its configuration, and where its inputs come from."""

    name: str
    stage: str
    implementation: Implementation
    config: Any
    """An instance of the implementation's dataclass."""
    settings: StepSettings = field(default_factory=StepSettings)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Slot -> the name of the step whose artifact fills it. A slot left empty is absent."""


@dataclass(frozen=True)
class Recipe:
    """A whole recipe, checked and typed."""

    name: str
    path: Path
    overrides: tuple[str, ...]
    environment: str
    settings: RecipeSettings
    steps: tuple[Step, ...]
    """In the order they run."""
    values: Mapping[str, Any]
    """The resolved config as plain values; secrets are names."""
    origins: Origins
    given: Mapping[str, tuple[str, ...]]
    """Step name -> the score names it and its parts compute."""

    def step(self, name: str) -> Step:
        """The step of that name; raises KeyError."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def origin(self, path: str) -> str:
        """The file and line, or "command line", that a dotted path came from."""
        return self.origins.of(path)

    def gives(self, step: Step) -> tuple[str, ...]:
        """The score names that a step and its parts compute."""
        return self.given.get(step.name, ())
