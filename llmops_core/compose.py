"""Recipe + overrides -> plain values, with where each came from. Hydra composes; we read before and after."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from llmops_core.config import RecipeSettings
from llmops_core.defaults import NOTHING, START, Written, file_problems, read_recipe
from llmops_core.errors import Problem, RecipeError, StoreError
from llmops_core.interpolation import Resolving, resolvers
from llmops_core.locate import Library, did_you_mean
from llmops_core.migrate import migrated_recipe
from llmops_core.nodes import header_package, shown
from llmops_core.origins import COMMAND_LINE, Origins, trace
from llmops_core.overrides import ENVIRONMENT, Reader, Rewritten, choice_lines, where_to_look
from llmops_core.plugins import Plugins
from llmops_core.stages import BY_NAME
from llmops_core.typed import Bad

STANDS_IN = "llmops_unknown"
"""An empty preset, in place of a choice that is dropped or does not exist."""
STEP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


@dataclass(frozen=True)
class Composed:
    """What a recipe says once Hydra has put it together."""

    name: str
    path: Path
    environment: str
    steps: Mapping[str, tuple[str, str]]
    """Step name -> (stage, the name chosen), in the order of the recipe."""
    values: Mapping[str, Any]
    origins: Origins
    problems: tuple[Problem, ...]
    unknown: frozenset[str]
    """Where a choice names nothing that exists: told already."""


def compose(recipe: str, overrides: Sequence[str], plugins: Plugins) -> Composed:
    """Compose a recipe given by name or path. Raises UsageError when there is no such recipe, and
    RecipeError when its files cannot be read at all; every other problem is collected."""
    path = plugins.library.recipe(recipe)
    return Composition(path, plugins.library.beside(path.parent), plugins).composed(overrides)


@dataclass
class Composition:
    """One recipe on its way through Hydra."""

    path: Path
    library: Library
    plugins: Plugins
    problems: list[Problem] = field(default_factory=list)

    def composed(self, overrides: Sequence[str]) -> Composed:
        """The whole way: files, overrides, Hydra, values."""
        before = read_recipe(self.path, self.library)
        written = copy.deepcopy(before)
        groups = frozenset({*self.plugins.groups(), *self.library.groups, ENVIRONMENT})
        reader = Reader(written, groups, lambda group: self.plugins.options(group, self.library))
        rewritten = reader.read(overrides)
        unknown = self._unknown_choices(written)
        files = written.files(self.library)
        unreadable = [*before.problems, *file_problems(files)]
        self.problems += [*unreadable, *rewritten.problems, *self._step_names(written)]
        if unreadable:
            raise self._stop()
        dropped = [one for key, one in before.choices.items() if key not in written.choices]
        absent = [*dropped, *(written.choices[key] for key in unknown)]
        lines = [*choice_lines(rewritten, before), *(f"{one.key}={STANDS_IN}" for one in absent)]
        origins = trace((path, package) for path, _, package in files)
        with _hydra(), resolvers():
            self._offer(written, [one.group for one in absent])
            config = self._compose(lines)
            self._remove(config, rewritten)
            self._set(config, rewritten, origins)
            values = Resolving(self.problems, origins.of).values(config)
        profiles = {path for path, choice, _ in files if choice is not None and choice.group == ENVIRONMENT}
        environment = self._environment(written, values, origins)
        steps = _steps(written, values)
        for name in [name for name in values if name in BY_NAME and name not in steps]:
            if origins.below(name) <= profiles:
                del values[name]  # a profile may set values of steps that a recipe lacks
        wrong = frozenset(written.choices[key].package for key in unknown)
        found = tuple(dict.fromkeys(self.problems))
        return Composed(self.path.stem, self.path, environment, steps, values, origins, found, wrong)

    def _stop(self) -> RecipeError:
        return RecipeError(self.path.stem, list(dict.fromkeys(self.problems)))

    def _unknown_choices(self, written: Written) -> list[str]:
        """The keys of choices that name nothing; each is told."""
        found = []
        for key, choice in written.choices.items():
            names = self.plugins.options(choice.group, self.library)
            if choice.name == NOTHING or choice.name in names:
                continue
            found.append(key)
            what = f"no such preset in {choice.group}/: {choice.name}"
            remedy = f"{did_you_mean(choice.name, names)}{where_to_look(choice.group)}"
            groups = {*self.plugins.groups(), *self.library.groups}
            if not names and choice.group not in groups:
                what = f"there is no group {choice.group}"
                remedy = f"{did_you_mean(choice.group, groups)}See: llmops show options"
            if choice.name == "???":
                what, remedy = (
                    "a choice is required",
                    f"Choose one: {key}=NAME. {where_to_look(choice.group)}",
                )
            self.problems.append(Problem(key, what, remedy, choice.origin))
        return found

    def _step_names(self, written: Written) -> Iterator[Problem]:
        """Names that a step cannot have."""
        stages: dict[str, str] = {}
        for choice in written.choices.values():
            if choice.group not in BY_NAME or choice.name == NOTHING:
                continue
            name = choice.package
            remedy = f"Write {choice.group}@NAME with another name."
            if not STEP_NAME.fullmatch(name):
                what = "a step's name is made of letters, digits, - and _"
            elif name in RecipeSettings.__dataclass_fields__ or name in (ENVIRONMENT, "defaults"):
                what = f"no step can be called {name}: that is a setting of the recipe"
            elif name in stages:
                what = f"the step {name} is chosen twice, as {stages[name]} and as {choice.group}"
            else:
                stages[name] = choice.group
                continue
            yield Problem(choice.key, what, remedy, choice.origin)

    def _offer(self, written: Written, absent: Sequence[str]) -> None:
        """Put every file into Hydra's store, and {use: NAME} for each choice that has no file."""
        for path, name in written.names.items():
            document = self._recipe_document(path)
            listed = document.pop("defaults", None)
            if listed is not None:
                entries = listed if isinstance(listed, list) else [listed]
                document["defaults"] = entries if "_self_" in entries else [*entries, "_self_"]
            _store("", name.lstrip("/"), document, "_global_")
        for choice in written.choices.values():
            path_or_none = self.library.preset(choice.group, choice.name)
            home = None if choice.home == choice.package else choice.home
            if path_or_none is not None:
                header = header_package(path_or_none)
                package = home if header is None else header or "_global_"
                _store(choice.group, choice.name, self._document(path_or_none), package)
            elif choice.name != NOTHING:
                _store(choice.group, choice.name, {"use": choice.name}, home)
        for group in absent:
            _store(group, STANDS_IN, {}, None)

    def _document(self, path: Path) -> dict[str, Any]:
        try:
            found: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        except Exception as error:  # whatever else YAML and OmegaConf refuse is told with its file
            what = f"it cannot be read as a config: {_first_line(error)}"
            self.problems.append(Problem("", what, "Correct it there.", shown(path)))
            raise self._stop() from None
        return found or {}

    def _recipe_document(self, path: Path) -> dict[str, Any]:
        try:
            return migrated_recipe(self._document(path))
        except StoreError as error:
            problem = Problem("format", error.problem.what, error.problem.remedy, shown(path))
            self.problems.append(problem)
            raise self._stop() from None

    def _compose(self, lines: Sequence[str]) -> DictConfig:
        try:
            config = hydra_compose(START, overrides=list(lines))
        except Exception as error:  # Hydra raises many kinds; our own reading should have told first
            what = f"Hydra cannot compose it: {_first_line(error)}"
            self.problems.append(Problem("defaults", what, "See: llmops show options", shown(self.path)))
            raise self._stop() from None
        OmegaConf.set_struct(config, False)
        return config

    def _remove(self, config: DictConfig, rewritten: Rewritten) -> None:
        for place, (typed, dropped) in rewritten.removed.items():
            above, _, last = place.rpartition(".")
            node: Any = config
            for name in above.split(".") if above else ():
                node = node.get(name) if isinstance(node, DictConfig) else None
            if isinstance(node, DictConfig) and last in node:
                del node[last]
            elif not dropped:
                known = [str(name) for name in node] if isinstance(node, DictConfig) else []
                near = did_you_mean(last, known, f"~{above}." if above else "~")
                what = "there is nothing of that name to remove"
                self.problems.append(Problem(typed, what, near or "See: llmops show config", COMMAND_LINE))

    def _set(self, config: DictConfig, rewritten: Rewritten, origins: Origins) -> None:
        """Apply the values of the command line, as Hydra does, one by one."""
        for _, choice in rewritten.choices:
            if choice.package not in origins.places:
                origins.add(choice.package, COMMAND_LINE, None)
        for typed, path, value in rewritten.values:
            try:
                OmegaConf.update(config, path, value, merge=True, force_add=True)
            except Exception as error:  # OmegaConf raises many kinds on what a person types
                rewritten.tell(typed, f"it cannot be set: {_first_line(error)}", "See: llmops show config")
                self.problems.append(rewritten.problems[-1])
            else:
                origins.typed(path, value)

    def _environment(self, written: Written, values: dict[str, Any], origins: Origins) -> str:
        """The environment's name: the profile chosen, else what the recipe says."""
        said = values.pop(ENVIRONMENT, None)
        chosen = written.chosen(ENVIRONMENT, ENVIRONMENT)
        profile = chosen is not None and chosen.name != NOTHING
        if said is not None and not isinstance(said, (str, Bad)):
            what = "an environment is a name, and its profile sets values of the whole recipe"
            remedy = "Begin the profile with # @package _global_" if profile else "Write env: NAME."
            self.problems.append(Problem(ENVIRONMENT, what, remedy, origins.of(ENVIRONMENT)))
        name = chosen.name if chosen is not None and profile else said if isinstance(said, str) else "dev"
        if not ENVIRONMENT_NAME.fullmatch(name):
            what, remedy = f"{name!r} cannot name an environment", "Use letters, digits, - and _."
            self.problems.append(Problem(ENVIRONMENT, what, remedy, origins.of(ENVIRONMENT)))
        return name


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra ready to compose from its store, and every trace in its globals removed afterwards."""
    store, running = ConfigStore.instance(), GlobalHydra.instance()
    kept, outer = store.repo, running.hydra
    store.repo = {"hydra": kept["hydra"]} | {name: kept[name] for name in kept if name.endswith(".yaml")}
    running.clear()
    try:
        with initialize(version_base="1.3", config_path=None):
            yield
    finally:
        store.repo, running.hydra = kept, outer


def _store(group: str, name: str, document: Mapping[str, Any], package: str | None) -> None:
    *folders, last = "/".join(part for part in (group, name) if part).split("/")
    ConfigStore.instance().store(last, document, group="/".join(folders) or None, package=package)


def _steps(written: Written, values: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Steps chosen by group, then those that a recipe writes out: a node that names its implementation."""
    steps = {
        choice.package: (choice.group, choice.name)
        for choice in written.choices.values()
        if choice.group in BY_NAME and choice.name != NOTHING and STEP_NAME.fullmatch(choice.package)
    }
    for name, node in values.items():
        if name not in steps and isinstance(node, Mapping) and "use" in node:
            stage = node.get("stage", name)
            if isinstance(stage, str) and stage in BY_NAME:
                steps[name] = (stage, str(node["use"]))
    return steps


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
