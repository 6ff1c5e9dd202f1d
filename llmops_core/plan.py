"""What will run and why: each step with `run`, `reuse` or `always`, the reason, and what it will need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from llmops_core.artifacts import Artifact
from llmops_core.check import chosen
from llmops_core.config import Recipe, Step
from llmops_core.errors import LlmopsError, PluginError
from llmops_core.hookspecs import Estimate
from llmops_core.keys import KeyMaker, differences, digest
from llmops_core.plugins import Plugins, resolve
from llmops_core.stages import BY_NAME
from llmops_core.store import Store

Action = Literal["run", "reuse", "always"]


@dataclass(frozen=True)
class PlannedStep:
    """A step with what will happen to it."""

    step: Step
    action: Action
    reason: str
    key: str = ""
    """Empty until every input exists."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """What the key is the digest of."""
    output: str = ""
    """The digest of the artifact to be reused."""
    estimates: tuple[Estimate, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The steps of a recipe in the order they run."""

    recipe: Recipe
    steps: tuple[PlannedStep, ...]

    def count(self, action: Action) -> int:
        """How many steps have this action."""
        return sum(step.action == action for step in self.steps)


@dataclass
class Planner:
    """Plans one step after another; the runner asks it again as inputs come to exist."""

    recipe: Recipe
    plugins: Plugins
    store: Store
    history: Sequence[Mapping[str, Any]] = ()
    """Earlier runs' manifests, newest first: what estimates are corrected by."""
    keys: KeyMaker = field(init=False)

    def __post_init__(self) -> None:
        self.keys = KeyMaker(self.store.path_digest)

    def plan(self) -> Plan:
        """The whole plan, as far as it is known before anything runs."""
        known: dict[str, str] = {}
        planned: list[PlannedStep] = []
        for step in self.recipe.steps:
            one = self.step(step, known)
            if one.output:
                known[step.name] = one.output
            planned.append(one)
        return Plan(self.recipe, tuple(planned))

    def step(self, step: Step, known: Mapping[str, str]) -> PlannedStep:
        """One step's plan; `known` maps step names to the digests of outputs that exist."""
        live = BY_NAME[step.stage].live
        waiting = [source for source in dict.fromkeys(step.inputs.values()) if source not in known]
        if waiting:
            action: Action = "always" if live else "run"
            return PlannedStep(
                step, action, self._waits(step, waiting, live), estimates=self._estimates(step, known)
            )
        inputs = {slot: known[source] for slot, source in step.inputs.items()}
        implementations = dict(chosen(step, self.plugins))
        document = self.keys.document(step, implementations, self.recipe.settings.seed, inputs)
        key = digest(document)
        estimates = self._estimates(step, known)
        if live:
            return PlannedStep(step, "always", "acts on the live world", key, document, estimates=estimates)
        output = self.store.lookup(step.stage, key)
        if output:
            return PlannedStep(step, "reuse", self._same(step, key), key, document, output)
        return PlannedStep(step, "run", self._reason(step, key, document), key, document, estimates=estimates)

    def _waits(self, step: Step, waiting: Sequence[str], live: bool) -> str:
        if live:
            return f"acts on the live world, after {' and '.join(waiting)}"
        earlier = self._earlier(step)
        several = (
            f"{' and '.join(waiting)}'s outputs are" if len(waiting) > 1 else f"{waiting[0]}'s output is"
        )
        return f"unless {several} unchanged" if earlier else f"never run yet; needs {' and '.join(waiting)}"

    def _earlier(self, step: Step) -> list[dict[str, Any]]:
        records = self.store.recent(step.stage)
        return [one for one in records if one.get("step") == step.name] or records

    def _same(self, step: Step, key: str) -> str:
        found = [one for one in self.store.recent(step.stage) if one["key"] == key]
        return f"same as run {found[0]['run']}" if found else "found in the store"

    def _reason(self, step: Step, key: str, document: Mapping[str, Any]) -> str:
        earlier = self._earlier(step)
        if not earlier:
            return "never run yet"
        if any(one["key"] == key for one in earlier):
            return "its earlier output is missing or damaged"
        changes = [differences(one["document"], document, step.name) for one in earlier]
        fewest = min(changes, key=len)
        return "; ".join(fewest) if fewest else "changed"

    def _estimates(self, step: Step, known: Mapping[str, str]) -> tuple[Estimate, ...]:
        inputs: dict[str, Artifact | None] = {
            slot.name: self._open(known.get(step.inputs.get(slot.name, "")))
            for slot in BY_NAME[step.stage].takes
        }
        return tuple(self._corrected(step, one) for one in estimated(step, inputs))

    def _open(self, name: str | None) -> Artifact | None:
        try:
            return self.store.open(name) if name else None
        except LlmopsError:
            return None  # what is missing or damaged is told by the step that needs it

    def _corrected(self, step: Step, estimate: Estimate) -> Estimate:
        """The estimate scaled by how far earlier ones were off, for the same implementation."""
        if estimate.what == "download":
            return estimate
        ratios = []
        for manifest in self.history:
            for record in manifest.get("steps", ()):
                if (record.get("stage"), record.get("use")) != (step.stage, step.implementation.name):
                    continue
                actual = (record.get("actual") or {}).get(estimate.what)
                said = ((record.get("estimate") or {}).get(estimate.what) or {}).get("uncorrected")
                if actual and said and record.get("status") == "done":
                    ratios.append(actual / said)
        if not ratios:
            return estimate
        middle = median(ratios[:5])
        spread = max(abs(ratio / middle - 1) for ratio in ratios[:5])
        runs = f"{len(ratios[:5])} earlier run{'s' if len(ratios[:5]) > 1 else ''}"
        note = f"from {runs}" + (f", ±{spread:.0%}" if len(ratios) > 1 else "")
        return Estimate(estimate.what, estimate.value * middle, note)


def uncorrected(step: Step, inputs: Mapping[str, Artifact | None]) -> dict[str, float]:
    """What the implementation itself estimates, kept so that later plans can learn how far off it is."""
    return {one.what: one.value for one in estimated(step, inputs)}


def estimated(step: Step, inputs: Mapping[str, Artifact | None]) -> Sequence[Estimate]:
    """What the implementation says a step will need. Raises PluginError when it cannot say."""
    if not step.implementation.estimate:
        return ()
    try:
        return tuple(resolve(step.implementation.estimate)(step.config, inputs))
    except PluginError:
        raise
    except Exception as error:  # any failure inside foreign code is told with its owner
        what = f"the estimate of {step.implementation.name} failed: {type(error).__name__}: {error}"
        raise PluginError(what, where=step.name, remedy="Report it to the plugin's author.") from error
