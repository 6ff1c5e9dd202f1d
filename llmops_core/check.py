"""Every problem of a recipe at once, before any heavy import: recipe + overrides -> a typed Recipe."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_core.compose import Composed, compose
from llmops_core.config import Recipe, RecipeSettings, Step, StepSettings
from llmops_core.errors import PluginError, Problem, RecipeError
from llmops_core.hookspecs import Implementation
from llmops_core.locate import Library, did_you_mean
from llmops_core.nodes import shown
from llmops_core.origins import Origins
from llmops_core.plugins import Plugins, missing, resolve, suggestion
from llmops_core.settings import Part
from llmops_core.stages import BY_NAME
from llmops_core.typed import BAD, MISSING, Bad, Reading, fault_of
from llmops_core.wiring import sequence, wire

COMMON = tuple(StepSettings.__dataclass_fields__)


def check(recipe: str, overrides: Sequence[str], plugins: Plugins, *, modules: bool = True) -> Recipe:
    """The recipe, typed. Raises RecipeError with every problem found.

    `modules=False` leaves out whether the packages that its steps need are installed.
    """
    composed = compose(recipe, overrides, plugins)
    checker = Checker(composed, plugins, plugins.library.beside(composed.path.parent))
    found = checker.recipe(tuple(overrides))
    problems = [*plugins.problems, *composed.problems, *checker.problems]
    if found is not None:
        for call in plugins.manager.hook.llmops_check.get_hookimpls():
            problems += _ask(call, found)
    used = in_use(checker.steps, checker.settings, plugins) if modules else []
    problems += lacking_modules(used, composed.origins)
    problems = list(dict.fromkeys(problems))
    if problems or found is None:
        raise RecipeError(composed.name, problems)
    return found


def _ask(call: Any, recipe: Recipe) -> list[Problem]:
    try:
        return list(call.function(*[recipe for _ in call.argnames]) or ())
    except Exception as error:  # any failure inside foreign code is told with its owner
        what = f"its check failed: {type(error).__name__}: {error}"
        return [Problem(f"plugin {call.plugin_name}", what, "Upgrade or remove it.")]


def lacking_modules(used: Sequence[tuple[str, Implementation]], origins: Origins) -> list[Problem]:
    """A problem for each implementation whose packages are not all installed here."""
    problems = []
    for where, implementation in used:
        if absent := missing(implementation):
            what = f"{implementation.name} needs {', '.join(absent)}, not installed here"
            remedy = f"pip install '{implementation.extra or ' '.join(absent)}'"
            problems.append(Problem(where, what, remedy, origins.of(where)))
    return problems


def in_use(
    steps: Iterable[Step], settings: RecipeSettings, plugins: Plugins
) -> list[tuple[str, Implementation]]:
    """Every implementation that steps and settings name, parts included, each with its dotted path."""
    found = [one for step in steps for one in chosen(step, plugins)]
    parts = [
        *parts_of(settings.track, "track"),
        *(one for step in steps for one in parts_of(step.settings, step.name)),
    ]
    beside = [(path, plugins.find(one.group, one.use)) for path, one in parts]
    return [*found, *((path, one) for path, one in beside if one is not None)]


def chosen(step: Step, plugins: Plugins) -> list[tuple[str, Implementation]]:
    """A step's implementation and those of its parts, each with its dotted path."""
    found = [(step.name, step.implementation)]
    for path, part in parts_of(step.config, step.name):
        implementation = plugins.find(part.group, part.use)
        if implementation is not None:
            found.append((path, implementation))
    return found


def parts_of(config: Any, path: str) -> list[tuple[str, Part]]:
    """Every Part inside a config, parts of parts included, each with its dotted path."""
    if isinstance(config, Part):
        return [(path, config), *parts_of(config.config, path)]
    if isinstance(config, Mapping):
        members = list(config.items())
    elif hasattr(config, "__dataclass_fields__"):
        members = [(name, getattr(config, name)) for name in config.__dataclass_fields__]
    else:
        return []
    return [found for name, value in members for found in parts_of(value, f"{path}.{name}")]


@dataclass
class Checker:
    """Reads one composed recipe."""

    composed: Composed
    plugins: Plugins
    library: Library
    problems: list[Problem] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    """The steps that could be read."""
    settings: RecipeSettings = field(default_factory=RecipeSettings)

    def report(self, path: str, what: str, remedy: str) -> None:
        """Note a problem with where its value came from."""
        self.problems.append(Problem(path, what, remedy, self.composed.origins.of(path)))

    def recipe(self, overrides: tuple[str, ...]) -> Recipe | None:
        """The typed recipe, or None when not all of it could be read."""
        composed = self.composed
        settings = self._settings()
        read = {name: self._step(name, stage) for name, (stage, _) in composed.steps.items()}
        stages = {name: stage for name, (stage, _) in composed.steps.items()}
        if not stages:
            remedy = "Choose one in its defaults list: - data: NAME"
            self.problems.append(Problem("", "this recipe has no step", remedy, shown(composed.path)))
        rewired = {name: step.settings.inputs if step else self._inputs(name) for name, step in read.items()}
        inputs = wire(stages, rewired, self.report)
        for name in sequence(stages, inputs, self.report):
            if (step := read[name]) is not None:
                self.steps.append(dataclasses.replace(step, inputs=inputs[name]))
        if settings is None or len(self.steps) < len(stages) or not stages:
            return None
        return Recipe(
            composed.name,
            composed.path,
            overrides,
            composed.environment,
            settings,
            tuple(self.steps),
            composed.values,
            composed.origins,
            {step.name: self._given(step) for step in self.steps},
        )

    def _settings(self) -> RecipeSettings | None:
        values, steps = self.composed.values, self.composed.steps
        own = {name: values[name] for name in RecipeSettings.__dataclass_fields__ if name in values}
        for name, value in values.items():
            if name not in own and name not in steps and not isinstance(value, Bad):
                self._odd(name, value)
        read = self._reading().read(own, RecipeSettings, "")
        if not isinstance(read, RecipeSettings):
            return None
        if read.store and "://" not in read.store:
            # as any path, it starts where it is written; written out, the recipe may lie elsewhere
            place = self.composed.origins.folder("store") / os.path.expanduser(read.store)  # noqa: PTH111
            read = dataclasses.replace(read, store=os.path.normpath(place))
        self.settings = read
        return read

    def _odd(self, name: str, value: Any) -> None:
        """Tell what a name at the top is that is neither a setting nor a step."""
        stage = value.get("stage") if isinstance(value, Mapping) else None
        if name in BY_NAME:
            remedy = f"Add one with {name}=NAME. See: llmops show options {name}"
            self.report(name, f"this recipe has no {name} step", remedy)
        elif stage is not None and stage not in BY_NAME:
            near = did_you_mean(str(stage), BY_NAME) or f"They are: {', '.join(BY_NAME)}."
            self.report(f"{name}.stage", f"there is no stage {stage}", near)
        elif stage is not None:
            remedy = f"Write use: NAME. See: llmops show options {stage}"
            self.report(name, f"this {stage} step names no implementation", remedy)
        else:
            known = [*self.composed.steps, *RecipeSettings.__dataclass_fields__, *BY_NAME]
            self.report(name, "no such key", did_you_mean(name, known) or "See: llmops show config")

    def _inputs(self, name: str) -> Mapping[str, str]:
        node = self.composed.values.get(name)
        found = node.get("inputs") if isinstance(node, Mapping) else None
        return (
            {str(slot): str(source) for slot, source in found.items()} if isinstance(found, Mapping) else {}
        )

    def _step(self, name: str, stage: str) -> Step | None:
        node = self.composed.values.get(name)
        if not isinstance(node, Mapping):
            if not isinstance(node, Bad):
                remedy = f"Write NAME: VALUE lines under it; to leave the step out write ~{name}."
                self.report(name, "a step is a mapping of fields", remedy)
            return None
        use = node.get("use")
        if not isinstance(use, str) or use == MISSING:
            if name not in self.composed.unknown and not isinstance(use, Bad):
                remedy = f"Write use: NAME. See: llmops show options {stage}"
                self.report(name, f"this {stage} step names no implementation", remedy)
            return None
        if node.get("stage", stage) != stage:
            what = f"it is chosen as a {stage} step, and stage says {node['stage']}"
            self.report(f"{name}.stage", what, "Leave stage out.")
        implementation = self._implementation(f"{name}.use", stage, use)
        cls = self._class(f"{name}.use", implementation) if implementation else None
        if implementation is None or cls is None:
            return None
        reading = self._reading()
        common = reading.read({key: node[key] for key in COMMON if key in node}, StepSettings, name)
        own = {key: value for key, value in node.items() if key not in (*COMMON, "use", "stage")}
        config = self._own(reading, own, cls, name)
        if common is BAD or config is BAD:
            return None
        return Step(name, stage, implementation, config, common)

    def _own(self, reading: Reading, node: Mapping[str, Any], cls: type[Any], name: str) -> Any:
        known = cls.__dataclass_fields__
        unknown = [key for key in node if key not in known]
        stage, use = self.composed.steps[name][0], self.composed.values[name]["use"]
        for key in unknown:
            remedy = (
                did_you_mean(key, [*known, *COMMON], f"{name}.") or f"See: llmops show options {stage} {use}"
            )
            self.report(f"{name}.{key}", f"no such field of {use}", remedy)
        config = reading.read({key: value for key, value in node.items() if key in known}, cls, name, use)
        return BAD if unknown else config

    def _reading(self) -> Reading:
        def config_class(path: str, group: str, use: str) -> type[Any] | None:
            implementation = self._implementation(path, group, use)
            return self._class(path, implementation) if implementation else None

        return Reading(self.report, config_class, self.composed.origins.folder)

    def _implementation(self, path: str, group: str, use: str) -> Implementation | None:
        found = self.plugins.find(group, use)
        if found is None:
            self.report(
                path,
                f"no installed plugin offers {group}={use}",
                suggestion(self.plugins, group, use, self.library),
            )
        return found

    def _class(self, path: str, implementation: Implementation) -> type[Any] | None:
        try:
            cls: Any = resolve(implementation.config)
            reserved = (*COMMON, "use", "stage") if implementation.group in BY_NAME else ("use",)
            fault = fault_of(cls, reserved)
        except PluginError as error:
            fault = error.problem.what
        if not fault:
            return cls  # type: ignore[no-any-return]
        owner = self.plugins.owners[(implementation.group, implementation.name)]
        what = f"{owner} cannot give the config of {implementation.name}: {fault}"
        self.report(path, what, "Upgrade or remove it.")
        return None

    def _given(self, step: Step) -> tuple[str, ...]:
        return tuple(name for _, one in chosen(step, self.plugins) for name in one.gives)
