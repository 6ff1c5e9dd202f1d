"""What a step would be given, for commands that look at it beforehand: its inputs are made, it is not run."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from llmops_core import events
from llmops_core.artifacts import Artifact
from llmops_core.check import in_use, lacking_modules
from llmops_core.config import Recipe, Step
from llmops_core.errors import RecipeError, UsageError
from llmops_core.plan import Planner
from llmops_core.plugins import Plugins
from llmops_core.runner import Runner
from llmops_core.secrets import Secrets
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_core.worker import Worker, request_for


@dataclass(frozen=True)
class Previewing:
    """How steps are looked at."""

    plugins: Plugins
    store: Store
    secrets: Secrets = field(default_factory=Secrets)
    tell: Callable[[events.Event], None] = field(default=lambda event: None)
    stages: Collection[str] = ("data", "model")
    """What may be run for it; what else is needed must be in the store."""


@dataclass(frozen=True)
class Preview:
    """A step with what it would be given. Its folders are removed with the block it was made for."""

    step: Step
    run: StepRun
    inputs: Mapping[str, Artifact]


@contextmanager
def preview(recipe: Recipe, step: Step, how: Previewing) -> Iterator[Preview]:
    """Make what `step` needs, or take it from the store; the steps that are run are recorded as a run.

    Raises RecipeError when a library is missing, UsageError when a step would have to run that may not,
    and what the steps raise.
    """
    before = tuple(needed(recipe, step.name))
    if absent := lacking_modules(in_use([*before, step], recipe.settings, how.plugins), recipe.origins):
        raise RecipeError(recipe.name, absent)
    known = _made(recipe, before, step, how)
    inputs = {slot: known[source] for slot, source in step.inputs.items()}
    request = request_for(
        step,
        inputs,
        store=str(how.store.root.resolve()),
        run="0",
        key="preview",
        seed=recipe.settings.seed,
        environment=recipe.environment,
    )
    temporary = how.store.temporary(f"preview-{step.name}")
    try:
        run = Worker(how.plugins, how.tell, how.secrets).run_for(request, temporary)
        yield Preview(step, run, {slot: how.store.open(digest) for slot, digest in inputs.items()})
    finally:
        shutil.rmtree(temporary.parent, ignore_errors=True)


def needed(recipe: Recipe, step: str) -> Sequence[Step]:
    """The steps whose outputs lead to a step's inputs, in the recipe's order."""
    names: set[str] = set()
    waiting = list(recipe.step(step).inputs.values())
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += recipe.step(name).inputs.values()
    return [one for one in recipe.steps if one.name in names]


def _made(recipe: Recipe, before: tuple[Step, ...], step: Step, how: Previewing) -> Mapping[str, str]:
    """The outputs of the steps before, by name; no run where all are in the store."""
    how.store.check_format()
    part = dataclasses.replace(recipe, steps=before)
    planned = Planner(part, how.plugins, how.store).plan().steps
    missing = [one.step for one in planned if not one.output]
    for one in missing:
        if one.stage not in how.stages:
            raise UsageError(
                f"{step.name} goes on from what the step {one.name} gives, which has not run",
                where=recipe.name,
                remedy="Run the recipe first, or leave that step out.",
            )
    if not missing:
        how.store.prepare()
        return {one.step.name: one.output for one in planned}
    runner = Runner(part, how.plugins, how.store, secrets=how.secrets)
    runner.run()
    return runner.known
