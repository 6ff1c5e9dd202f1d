"""Finds and loads plugins. A broken one is named with its distribution, and the rest goes on."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from llmops_core import __version__, builtin, hookspecs
from llmops_core.entry_points import PLUGINS, EntryPoint, entry_points
from llmops_core.errors import PluginError, Problem
from llmops_core.hookspecs import CONTRACT_VERSION, Implementation
from llmops_core.locate import Library, did_you_mean, nearest, package_folder
from llmops_core.nodes import member, read_nodes, text
from llmops_core.stages import BESIDE, BY_NAME, OF_EVERY_STEP


@dataclass
class Plugins:
    """The loaded plugins and what they offer."""

    manager: pluggy.PluginManager
    problems: list[Problem] = field(default_factory=list)
    implementations: dict[tuple[str, str], Implementation] = field(default_factory=dict)
    owners: dict[tuple[str, str], EntryPoint] = field(default_factory=dict)
    loaded: list[tuple[EntryPoint, ModuleType]] = field(default_factory=list)

    def groups(self) -> set[str]:
        """Every group that some implementation is for, and every stage."""
        return {group for group, _ in self.implementations} | set(BY_NAME)

    def names(self, group: str) -> list[str]:
        """The implementations of a group."""
        return sorted(name for owner, name in self.implementations if owner == group)

    def find(self, group: str, name: str) -> Implementation | None:
        """An implementation, or None."""
        return self.implementations.get((group, name))

    @cached_property
    def library(self) -> Library:
        """Bundled and plugins' presets and recipes."""
        found: list[str] = []
        calls: Any = self.manager.hook.llmops_config_packages.get_hookimpls()
        for call in calls:
            try:
                given: Any = call.function()
                names = [str(name) for name in given]
                lost = [name for name in names if package_folder(name) is None]
            except Exception as error:  # any failure inside foreign code is told with its owner
                self._tell(call, f"cannot name its config packages: {type(error).__name__}: {error}")
                continue
            if lost:
                self._tell(call, f"names config packages that are not there: {', '.join(lost)}")
            found += [name for name in names if name not in lost]
        return Library.of(found)

    def _tell(self, call: Any, what: str) -> None:
        where = call.plugin_name.partition(":")[0]
        self.problems.append(Problem(where, f"the plugin {call.plugin_name} {what}", "Upgrade or remove it."))

    def options(self, group: str, library: Library) -> list[str]:
        """Every name that may be chosen in a group: presets, and implementations that have none."""
        return sorted({*library.options(group), *self.names(group)})

    def behind(self, group: str, name: str) -> Implementation | None:
        """The implementation of that name, or the one that the preset of that name uses."""
        preset = self.library.preset(group, name)
        used = text(member(read_nodes(preset)[0], "use")) if preset else None
        return self.find(group, used or name)

    def event(self, run: Any, event: Any) -> list[str]:
        """Tell every plugin; gives one line for each that failed, so that none fails the run."""
        failed = []
        for call in reversed(self.manager.hook.llmops_event.get_hookimpls()):  # as pluggy itself calls them
            try:
                call.function(*[{"run": run, "event": event}[name] for name in call.argnames])
            except Exception as error:
                failed.append(f"plugin {call.plugin_name}: {type(error).__name__}: {error}")
        return failed


class Manager(pluggy.PluginManager):
    """Looks only at names that can be hooks, not at all that a plugin's module imports."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """The options of a hook that a plugin has, or None."""
        return super().parse_hookimpl_opts(plugin, name) if name.startswith("llmops_") else None


def load(extra: Sequence[tuple[str, Any]] = ()) -> Plugins:
    """Load the core's own plugin, every installed one, then `extra` (name, module) pairs.

    Problems are collected, not raised.
    """
    manager = Manager("llmops")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager)
    modules: list[tuple[EntryPoint, Any]] = []
    for point in entry_points(PLUGINS):
        try:
            with redirect_stdout(sys.stderr):  # standard output is for what the command prints
                modules.append((point, importlib.import_module(point.value.partition(":")[0])))
        except (Exception, SystemExit) as error:  # a plugin may raise anything; it is told, never swallowed
            if problem := _of_another_contract(point, _written_contract(point)):
                plugins.problems.append(problem)
                continue
            what = f"the plugin {point.name} cannot be imported: {type(error).__name__}: {error}"
            plugins.problems.append(
                Problem(str(point), what, f"Upgrade or remove it: pip uninstall {point.distribution}")
            )
    modules.insert(0, (EntryPoint("core", "llmops_core.builtin", "llmops", __version__), builtin))
    modules += [
        (EntryPoint(name, getattr(module, "__name__", name), name, ""), module) for name, module in extra
    ]
    for point, module in modules:
        _register(plugins, point, module)
    return plugins


def _register(plugins: Plugins, point: EntryPoint, module: Any) -> None:
    manager = plugins.manager
    if manager.is_registered(module):
        return  # two entry points of one distribution name the same module
    # one that does not say was made when there was only the first; our own parts are no distribution
    made_for = getattr(module, "LLMOPS_CONTRACT", 1 if point.version else CONTRACT_VERSION)
    if problem := _of_another_contract(point, made_for):
        plugins.problems.append(problem)
        return
    if not _hooks_are_known(plugins, point, module):
        return
    try:
        manager.register(module, name=f"{point.distribution}:{point.name}")
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        if manager.is_registered(module):
            manager.unregister(module)
        plugins.problems.append(
            Problem(
                str(point),
                f"the plugin {point.name} breaks the contract: {error}",
                "See docs/reference/hooks.md",
            )
        )
        return
    if _offer(plugins, point, module):
        plugins.loaded.append((point, module))


def _hooks_are_known(plugins: Plugins, point: EntryPoint, module: Any) -> bool:
    """Whether no function of a plugin is named like a hook and is none; one without its mark is told only."""
    known = {name for name in vars(hookspecs) if name.startswith("llmops_")}
    odd = [
        name
        for name in dir(module)
        if name.startswith("llmops_") and name not in known and callable(getattr(module, name))
    ]
    for name in odd:
        what = f"the plugin {point.name} has a function {name}, which is no hook"
        remedy = did_you_mean(name, known) + "See docs/reference/hooks.md"
        plugins.problems.append(Problem(str(point), what, remedy))
    if odd:
        return False
    unmarked = [
        name
        for name in known
        if callable(getattr(module, name, None)) and not hasattr(getattr(module, name), "llmops_impl")
    ]
    for name in unmarked:
        what = f"{name} of the plugin {point.name} is not marked as a hook"
        plugins.problems.append(
            Problem(str(point), what, "Write @hookimpl above it (llmops_core.hookspecs).")
        )
    return True


def _written_contract(point: EntryPoint) -> int:
    """The version of the contract that a module which cannot be imported says it was made for."""
    try:
        spec = importlib.util.find_spec(point.value.partition(":")[0])
        text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    except (Exception, SystemExit):  # finding it imports its package, which is what failed
        return CONTRACT_VERSION
    found = re.search(r"^LLMOPS_CONTRACT\s*=\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else CONTRACT_VERSION


def _of_another_contract(point: EntryPoint, made_for: Any) -> Problem | None:
    """What is wrong with a plugin made for another major version of the contract; it is not taken in."""
    if made_for == CONTRACT_VERSION:
        return None
    what = f"the plugin {point.name} was made for contract {made_for}; this llmops has {CONTRACT_VERSION}"
    newer = isinstance(made_for, int) and made_for > CONTRACT_VERSION
    upgrade = "llmops" if newer else point.distribution
    return Problem(str(point), what, f"Upgrade {upgrade}: pip install --upgrade {upgrade}")


def _offer(plugins: Plugins, point: EntryPoint, module: Any) -> bool:
    """Take in what a plugin can do; a problem with one leaves the plugin's others in place."""
    offers = getattr(module, "llmops_implementations", None)
    try:
        found = list(offers()) if offers else []
    except Exception as error:  # any failure inside foreign code is told with its owner
        what = f"the plugin {point.name} cannot list its implementations: {type(error).__name__}: {error}"
        plugins.problems.append(Problem(str(point), what, "Upgrade or remove it."))
        plugins.manager.unregister(module)
        return False
    for one in found:
        if not isinstance(one, Implementation):
            what = f"the plugin {point.name} lists {one!r}, which is no Implementation"
            plugins.problems.append(
                Problem(str(point), what, "Give llmops_core.hookspecs.Implementation objects.")
            )
            continue
        key = (one.group, one.name)
        if one.group.split("/")[0] not in {*BY_NAME, *BESIDE, *OF_EVERY_STEP}:
            what = f"{one.group}={one.name} belongs to no stage"
            remedy = (
                did_you_mean(one.group.split("/")[0], [*BY_NAME, *BESIDE, *OF_EVERY_STEP])
                + "See llmops_core/stages.py"
            )
            plugins.problems.append(Problem(str(point), what, remedy))
        elif key in plugins.owners:
            what = f"{one.group}={one.name} is offered twice, by {plugins.owners[key]} and by {point}"
            plugins.problems.append(Problem(str(point), what, "Remove one of the two."))
        else:
            plugins.implementations[key] = one
            plugins.owners[key] = point
    return True


def resolve(reference: str) -> Callable[..., Any]:
    """The object that "package.module:name" stands for; raises PluginError naming what fails."""
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except Exception as error:  # any failure inside foreign code is told with the name it failed for
        what = f"{reference} cannot be loaded: {type(error).__name__}: {error}"
        raise PluginError(what, remedy="Reinstall or upgrade what offers it.") from error


def missing(implementation: Implementation) -> list[str]:
    """The modules an implementation needs that are not installed, found without importing them."""
    return [name for name in implementation.needs if not _importable(name)]


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def suggestion(plugins: Plugins, group: str, name: str, library: Library) -> str:
    """What to do about a `use` that nobody offers in `group`."""
    if library.preset(group, name) is not None:
        return f"{name} is a preset: choose it with {group}={name}, or in the defaults list."
    near = nearest(name, plugins.names(group))
    others = [owner for owner, other in plugins.implementations if other == name]
    text = f"Did you mean {near}? " if near else ""
    text += f"There is one in {others[0]}. " if others else ""
    return f"{text}See: llmops show options {group}, or install the plugin that brings it."
