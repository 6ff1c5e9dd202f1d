"""The core's own plugin: how a step is run when nobody else does, and where its process runs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmops_core.hookspecs import Implementation, hookimpl
from llmops_core.stages import BY_NAME

if TYPE_CHECKING:
    from llmops_core.artifacts import Artifact
    from llmops_core.config import Step
    from llmops_core.step import StepRun

LLMOPS_CONTRACT = 1


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The launchers that need nothing but this machine."""
    return [
        Implementation(
            group="launch",
            name="here",
            config="llmops_core.launch:HereLaunch",
            target="llmops_core.launch:here",
            about="in the process of the run itself",
        ),
        Implementation(
            group="launch",
            name="process",
            config="llmops_core.launch:ProcessLaunch",
            target="llmops_core.launch:process",
            about="a process of its own on this machine",
        ),
    ]


@hookimpl(trylast=True)
def llmops_run_step(step: Step, run: StepRun) -> Artifact:
    """Import the implementation's target and call it with its config and artifacts."""
    from llmops_core.plugins import resolve

    target = resolve(step.implementation.target)
    accepted = inspect.signature(target).parameters
    inputs = {
        slot.name: run.inputs.get(slot.name)
        for slot in BY_NAME[step.stage].takes
        # a slot that nothing fills need not be known to an implementation
        if slot.name in run.inputs or slot.name in accepted
    }
    made: Artifact = target(step.config, run, **inputs)
    return made
