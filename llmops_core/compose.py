"""Recipe + overrides -> plain values, with where each came from. Hydra composes; we read before and after."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins as HydraPlugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llmops_core.errors import Problem, RecipeError
from llmops_core.locate import Library, did_you_mean
from llmops_core.migrate import migrated_recipe
from llmops_core.origins import COMMAND_LINE, Origins, Written, file_problems, read_recipe, shown, trace
from llmops_core.overrides import ENVIRONMENT, Reader, Rewritten, choice_lines, note_origins
from llmops_core.plugins import Plugins
from llmops_core.stages import BY_NAME

STANDS_IN = "llmops_unknown"
"""A preset that stands in for a chosen one that does not exist, so that the rest can be checked."""
ENVIRONMENT_VALUE = re.compile(r"\$\{oc\.env:\s*['\"]?([^},'\"]+)")
SECRET_WORDS = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE", re.IGNORECASE
)


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


def compose(recipe: str, overrides: Sequence[str], plugins: Plugins) -> Composed:
    """Compose a recipe given by name or path. Raises UsageError when there is no such recipe, and
    RecipeError when its files cannot be read at all; every other problem is collected."""
    path = plugins.library.recipe(recipe)
    library = plugins.library.beside(path.parent)
    before = read_recipe(path, library)
    written = copy.deepcopy(before)
    groups = frozenset({*plugins.groups(), *library.groups, ENVIRONMENT})
    reader = Reader(written, groups, lambda group: plugins.options(group, library))
    rewritten = _read_twice(reader, overrides)
    for _, choice in rewritten.choices:
        written.choose(choice)
    unknown = _unknown_choices(before, written, plugins, library)
    files = written.files(library)
    problems = [*before.problems, *file_problems(files), *rewritten.problems, *unknown.values()]
    if any(not one.where for one in problems):
        raise RecipeError(path.stem, problems)  # a file that is no YAML: nothing can be composed
    with migrated_recipe(path) as start:
        composition = Composition(start, library, before, rewritten, tuple(unknown))
        config = composition.compose(_names_only(written, library), problems)
    origins = trace(files)
    note_origins(rewritten, origins)
    values = _plain(config, "", origins, problems)
    for typed, place in rewritten.removed:
        _remove(values, typed, place, before, problems)
    environment = _environment(written, values, origins, problems)
    steps = _steps(written, values)
    return Composed(path.stem, path, environment, steps, values, origins, tuple(problems))


def _environment(written: Written, values: dict[str, Any], origins: Origins, problems: list[Problem]) -> str:
    """The environment's name: the profile chosen, else what the recipe says."""
    said = values.pop(ENVIRONMENT, None)
    chosen = written.chosen(ENVIRONMENT, ENVIRONMENT)
    if isinstance(said, Mapping):
        what, remedy = (
            "an environment's profile sets values of the whole recipe",
            "Begin it with # @package _global_",
        )
        problems.append(Problem(ENVIRONMENT, what, remedy, origins.of(ENVIRONMENT)))
    return chosen.name if chosen else said if isinstance(said, str) else "dev"


def _read_twice(reader: Reader, overrides: Sequence[str]) -> Rewritten:
    """Steps that overrides add are known only after a first reading; the second one counts."""
    first = Reader(copy.deepcopy(reader.written), reader.groups, reader.options)
    for _, choice in first.read(overrides).choices:
        if "/" not in choice.group:
            reader.written.choose(choice)
    return reader.read(overrides)


def _unknown_choices(
    before: Written, written: Written, plugins: Plugins, library: Library
) -> dict[str, Problem]:
    """Choices of the recipe's own files that name no preset, by the key Hydra knows them by."""
    found: dict[str, Problem] = {}
    for key, choice in before.choices.items():
        now = written.choices.get(key)
        if now is None or now.origin != choice.origin or choice.name in ("null",):
            continue
        names = plugins.options(choice.group, library)
        if choice.name not in names:
            what = f"no such preset in {choice.group}/: {choice.name}"
            remedy = f"{did_you_mean(choice.name, names)}See: llmops show options {choice.group}"
            found[key] = Problem(key, what, remedy, choice.origin)
    return found


def _names_only(written: Written, library: Library) -> list[tuple[str, str]]:
    """(group, name) of every choice that has no preset file: Hydra is given {use: NAME} for it."""
    choices = written.choices.values()
    return [(one.group, one.name) for one in choices if library.preset(one.group, one.name) is None]


@dataclass(frozen=True)
class Composition:
    """One recipe with overrides, ready for Hydra."""

    start: Path
    library: Library
    before: Written
    rewritten: Rewritten
    unknown: tuple[str, ...]
    """Choices that name no preset, as Hydra knows them; an empty preset stands in."""

    def compose(self, names: Sequence[tuple[str, str]], problems: list[Problem]) -> DictConfig:
        """Let Hydra compose. When it refuses, find each value it refuses, and compose without them."""
        choices = [f"{key}={STANDS_IN}" for key in self.unknown]
        choices += choice_lines(self.rewritten, self.before)
        values = self.rewritten.values
        stand_ins = [(self.before.choices[key].group, STANDS_IN) for key in self.unknown]
        with _hydra(self.start.parent, self.library, [*names, *stand_ins]):
            try:
                return self._hydra(choices + [line for _, line in values])
            except (HydraException, OmegaConfBaseException, RecursionError) as error:
                whole = _first_line(error)
            kept = []
            for typed, line in values:
                try:
                    self._hydra([*choices, line])
                    kept.append(line)
                except (HydraException, OmegaConfBaseException) as error:
                    problems.append(
                        Problem(typed, _first_line(error), "See: llmops show config", COMMAND_LINE)
                    )
            try:
                return self._hydra(choices + kept)
            except (HydraException, OmegaConfBaseException, RecursionError):
                problems.append(Problem("", whole, "See: llmops show config", shown(self.start)))
                raise RecipeError(self.start.stem, problems) from None

    def _hydra(self, lines: list[str]) -> DictConfig:
        return hydra_compose(self.start.stem, overrides=lines)


@contextmanager
def _hydra(folder: Path, library: Library, names: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Hydra ready to compose, with every trace in its global registries removed afterwards."""
    places = [place for place in dict.fromkeys((*library.recipes, *library.presets)) if place != folder]

    class Places(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for place in places:
                search_path.append("llmops", f"file://{place}")

    registry, store = HydraPlugins.instance(), ConfigStore.instance()
    kept = copy.copy(store.repo)
    registry.register(Places)
    for group, name in names:
        store.store(group=group, name=name, node={} if name == STANDS_IN else {"use": name})
    OmegaConf.register_new_resolver("secret", lambda name: f"${{secret:{name}}}", replace=True)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folder), version_base="1.3"):
            yield
    finally:
        store.repo = kept
        registry.class_name_to_class.pop(f"{Places.__module__}.{Places.__qualname__}", None)
        for plugins in registry.plugin_type_to_subclass_list.values():
            if Places in plugins:
                plugins.remove(Places)


def _plain(node: Any, path: str, origins: Origins, problems: list[Problem]) -> Any:
    """Plain values with interpolations resolved one by one, so that every broken one is told."""
    keys = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    found: Any = {}
    for key in keys:
        where = f"{path}.{key!s}" if path else str(key)
        try:
            found[key] = _member(node, key, where, origins, problems)
        except (OmegaConfBaseException, RecursionError, ValueError) as error:
            circular = isinstance(error, RecursionError) or "recursive" in str(error).lower()
            what = "this interpolation refers to itself" if circular else _first_line(error)
            problems.append(Problem(where, what, "Correct the ${...} there.", origins.of(where)))
    return found if isinstance(node, DictConfig) else list(found.values())


def _member(node: Any, key: Any, where: str, origins: Origins, problems: list[Problem]) -> Any:
    if OmegaConf.is_missing(node, key):
        return "???"
    if OmegaConf.is_interpolation(node, key):
        unresolved: Any = OmegaConf.to_container(node, resolve=False)
        raw = repr(unresolved[key])
        named = ENVIRONMENT_VALUE.search(raw)
        if named and SECRET_WORDS.search(named[1]):
            what = f"{named[1]} looks like a secret and would be written down"
            problems.append(Problem(where, what, f"Write ${{secret:{named[1]}}} instead.", origins.of(where)))
            return None
    value = node[key]
    if isinstance(value, (DictConfig, ListConfig)):
        if where.count(".") > 60:
            raise RecursionError
        return _plain(value, where, origins, problems)
    return value


def _remove(values: dict[str, Any], typed: str, place: str, before: Written, problems: list[Problem]) -> None:
    *parents, last = place.split(".")
    node: Any = values
    for name in parents:
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, dict) and last in node:
        del node[last]
        return
    if any(choice.package == place for choice in before.choices.values()):
        return
    known = list(node) if isinstance(node, dict) else list(values)
    prefix = ".".join(parents) + "." if isinstance(node, dict) and parents else ""
    remedy = did_you_mean(last, known, f"~{prefix}") or "See: llmops show config"
    problems.append(Problem(typed, "there is nothing of that name to remove", remedy, COMMAND_LINE))


def _steps(written: Written, values: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Steps chosen by group, then those that a recipe writes out: a node that names its implementation."""
    steps = {
        choice.package: (choice.group, choice.name)
        for choice in written.choices.values()
        if choice.group in BY_NAME and choice.name != "null"
    }
    for name, node in values.items():
        if name in steps or not isinstance(node, Mapping) or "use" not in node:
            continue
        stage = node.get("stage", name)
        if stage in BY_NAME:
            steps[name] = (str(stage), str(node["use"]))
    return steps


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
