"""What a plugin may say: the whole contract, in the order things happen.

Hooks return values; nothing registers itself. Mark an implementation with `hookimpl`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from llmops_core.errors import Problem

if TYPE_CHECKING:
    from llmops_core.artifacts import Artifact
    from llmops_core.config import Recipe, Step
    from llmops_core.events import Event
    from llmops_core.step import StepRun

CONTRACT_VERSION = 1

hookspec = pluggy.HookspecMarker("llmops")
hookimpl = pluggy.HookimplMarker("llmops")


@dataclass(frozen=True)
class Estimate:
    """What a step is expected to need. Units: bytes for download and memory, seconds for time."""

    what: Literal["download", "memory", "time"]
    value: float
    basis: str


@dataclass(frozen=True)
class Implementation:
    """One way to do a stage, or a part of one. Plain values: listing it imports nothing.

    `target` is called as `function(config, run, **inputs)` with one artifact (or None) a slot of the
    stage's row, and returns the artifact the stage gives. A part's target has the signature its
    owner's docs state.
    """

    group: str
    """A stage ("train") or a part of one ("train/strategy")."""
    name: str
    config: str
    """"package.config:LightningTrain": its dataclass, imported when a recipe uses it."""
    target: str
    """"package.module:function": imported when run."""
    about: str = ""
    accepts: Sequence[str] = ()
    """The row shapes or formats it takes ("messages"); empty: any."""
    gives: Sequence[str] = ()
    """The score names it computes, for gates to be checked against."""
    estimate: str = ""
    """"package.estimate:function", light: (config, inputs) -> Sequence[Estimate]; `inputs` maps a slot
    to the artifact already known to be its input, or to None."""
    version: str = "1"
    """Raise it when the same config and inputs come to give another output."""
    needs: Sequence[str] = ()
    """Top-level modules that must be importable to run it."""
    extra: str = ""
    """What to pip install when one of `needs` is missing: "llmops[train]"."""
    undo: str = ""
    """"package.module:function": (artifact, run) -> None, releases a live resource."""
    foreground: str = ""
    """For deploy, "package.module:function": (config, run, *, release, live, ended) -> exit status. Serves
    until interrupted; calls live(endpoint) once it answers and ended(reason) once it no longer does."""
    seeded: bool = True
    """False: its output does not depend on the seed, so neither does its key."""
    together: bool = False
    """Whether processes that torchrun or Slurm started run it together: then it is called in each of them,
    with its place in `run.place`, and what the first gives is kept. Else only the first calls it."""


@hookspec
def llmops_implementations() -> Sequence[Implementation]:  # type: ignore[empty-body]
    """What this plugin can do."""


@hookspec
def llmops_config_packages() -> Sequence[str]:  # type: ignore[empty-body]
    """Import packages that hold YAML: presets in STAGE/NAME.yaml, recipes in recipes/NAME.yaml."""


@hookspec
def llmops_check(recipe: Recipe) -> Sequence[Problem]:  # type: ignore[empty-body]
    """Problems that span stages, found without heavy imports."""


@hookspec(firstresult=True)
def llmops_run_step(step: Step, run: StepRun) -> Artifact | None:
    """Run one step. Wrap it to time, trace or notify; the core's own calls the step's target."""


@hookspec
def llmops_event(run: Any, event: Event) -> None:
    """What happens as it happens. `run` is the run's record (llmops_core.manifest.Manifest)."""
