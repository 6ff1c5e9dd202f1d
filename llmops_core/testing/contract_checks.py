"""What a plugin says of itself: hooks, version, implementations, presets, commands, and its light face."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmops_core import hookspecs
from llmops_core.entry_points import COMMANDS, entry_points
from llmops_core.errors import LlmopsError, RecipeError
from llmops_core.hookspecs import CONTRACT_VERSION, Implementation
from llmops_core.locate import SUFFIXES, package_folder
from llmops_core.plugins import missing, resolve
from llmops_core.stages import BESIDE, BY_NAME
from llmops_core.testing.examination import Examination
from llmops_core.testing.examples import Unfit, owner_of, reader
from llmops_core.testing.findings import Check, Finding, NothingToCheck

LIGHT = 50.0
"""Milliseconds of CPU that plugin, configs and estimates may take to import: every command pays them."""


def label(one: Implementation) -> str:
    """ "data=acme"."""
    return f"{one.group}={one.name}"


def imports(exam: Examination) -> Iterator[Finding]:
    """The plugin's module imports, within the limit, and writes nothing to standard output."""
    for point in exam.points:
        seen = exam.light(point)
        if seen["error"]:
            yield Finding(point.value, seen["error"], "Import nothing in plugin.py but llmops_core.")
        elif seen["stdout"]:
            yield Finding(point.value, f"it prints when imported: {seen['stdout'][:60]!r}", "Remove that.")


def hooks(exam: Examination) -> Iterator[Finding]:
    """Every llmops_* function is a hook, marked, with arguments that the hook has."""
    names = {str(point) for point in exam.points}
    for problem in exam.plugins.problems:
        if problem.where in names:
            yield Finding(problem.where, problem.what, problem.remedy)
    for point, module in exam.modules():
        if not any(name.startswith("llmops_") for name in vars(module)):
            remedy = "Write a hook: docs/reference/hooks.md."
            yield Finding(point.value, "it has no hook, so it offers nothing", remedy)


def version(exam: Examination) -> Iterator[Finding]:
    """The plugin says which version of the contract it was made for."""
    for point, module in exam.modules():
        if getattr(module, "LLMOPS_CONTRACT", None) != CONTRACT_VERSION:
            remedy = f"Write LLMOPS_CONTRACT = {CONTRACT_VERSION} in it."
            yield Finding(point.value, "it does not say which contract it was made for", remedy)


def offers(exam: Examination) -> Iterator[Finding]:
    """Each implementation can be chosen, and says what it is."""
    known = [name for name in vars(hookspecs) if name == "llmops_implementations"]
    if not any(hasattr(module, name) for _, module in exam.modules() for name in known):
        raise NothingToCheck("it offers no implementation")
    for one in exam.implementations:
        if not one.name.replace("-", "_").isidentifier():
            yield Finding(
                label(one), "its name cannot be written in an override", "Use letters, digits and _."
            )
        if not one.about:
            yield Finding(label(one), "it does not say what it is", "Fill in `about`, one sentence.")
        if "/" in one.group:
            try:
                owner_of(exam.plugins, one.group)
            except Unfit as reason:
                yield Finding(label(one), str(reason), f"Groups in use: {', '.join(_groups(exam))}.")


def references(exam: Examination) -> Iterator[Finding]:
    """What an implementation names is there, and can be called the way its stage is."""
    for one in _some(exam):
        for name in ("config", "target", "estimate", "undo", "foreground"):
            reference = getattr(one, name)
            if not reference and name not in ("config", "target"):
                continue
            module, colon, attribute = reference.partition(":")
            if not colon or not attribute or not _found(module):
                remedy = 'Write "package.module:name".'
                yield Finding(label(one), f"its {name} {reference!r} is not there", remedy)
        yield from _light_references(one)
        if exam.runs and one.group.partition("/")[0] not in BESIDE:
            yield from _misfits(exam, one)


def packages(exam: Examination) -> Iterator[Finding]:
    """What it needs is installed here, else nothing can be tried."""
    for one in _some(exam):
        if absent := missing(one):
            remedy = f"pip install '{one.extra or ' '.join(absent)}'"
            yield Finding(label(one), f"it needs {', '.join(absent)}, not installed here", remedy)


def presets(exam: Examination) -> Iterator[Finding]:
    """Presets and recipes of the plugin's config packages are right."""
    folders = []
    for _, module in exam.modules():
        if hook := getattr(module, "llmops_config_packages", None):
            for name in hook():
                folder = package_folder(name)
                folders += [folder] if folder else []
                if folder is None:
                    yield Finding(
                        name, "there is no such package", "Is it in the wheel, with its YAML files?"
                    )
    if not folders:
        raise NothingToCheck("it brings no YAML")
    for folder in folders:
        for path in sorted(one for one in folder.rglob("*") if one.suffix in SUFFIXES):
            yield from _yaml(exam, path, path.relative_to(folder).parent.as_posix())


def commands(exam: Examination) -> Iterator[Finding]:
    """Each command the distribution names is a click command."""
    import click

    owners = {point.distribution for point in exam.points}
    found = [point for point in entry_points(COMMANDS) if point.distribution in owners]
    if not found:
        raise NothingToCheck("it brings no command")
    for point in found:
        try:
            if not isinstance(resolve(point.value), click.Command):
                yield Finding(
                    point.name, f"{point.value} is no click command", "Decorate it: @click.command()."
                )
        except LlmopsError as error:
            yield Finding(point.name, str(error))


def quick(exam: Examination) -> Iterator[Finding]:
    """The light face imports within its budget."""
    for point in exam.points:
        seen = exam.light(point)
        if not seen["error"] and seen["ms"] > LIGHT:
            what = f"plugin, configs and estimates take {seen['ms']:.0f} ms to import, more than {LIGHT:.0f}"
            yield Finding(point.value, what, "Import what is slow where it is used.")


def nothing_heavy(exam: Examination) -> Iterator[Finding]:
    """The light face imports nothing but llmops_core and the standard library."""
    for point in exam.points:
        if foreign := exam.light(point).get("foreign"):
            remedy = "Move those imports into the module that does the work."
            yield Finding(point.value, f"importing it brings in {', '.join(foreign)}", remedy)


def _some(exam: Examination) -> list[Implementation]:
    if not exam.implementations:
        raise NothingToCheck("it offers no implementation")
    return exam.implementations


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _light_references(one: Implementation) -> Iterator[Finding]:
    try:
        if not isinstance(resolve(one.config), type):
            yield Finding(label(one), f"its config {one.config} is no dataclass")
        if one.estimate:
            inspect.signature(resolve(one.estimate)).bind("config", "inputs")
    except LlmopsError as error:
        yield Finding(label(one), str(error))
    except TypeError as error:
        yield Finding(label(one), f"its estimate cannot be called with (config, inputs): {error}")


def _misfits(exam: Examination, one: Implementation) -> Iterator[Finding]:
    try:
        tried = exam.tried(one)
    except Unfit:
        return
    for text in tried.first.report.get("unfit", ()):
        where, _, what = text.partition(": ")
        if where == label(one):
            yield Finding(where, what, "See llmops_core/stages.py for what the stage takes.")


def _groups(exam: Examination) -> list[str]:
    return sorted({group for group in exam.plugins.groups() if "/" in group})


def _yaml(exam: Examination, path: Path, group: str) -> Iterator[Finding]:
    if group == "recipes":
        yield from _recipe(exam, path)
        return
    import yaml

    from llmops_core.nodes import Loader

    try:
        node: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader) or {}  # noqa: S506 - the safe one
    except yaml.YAMLError as error:
        yield Finding(str(path), f"it is no YAML: {error}")
        return
    if group.partition("/")[0] not in {*BY_NAME, *BESIDE} or not isinstance(node, dict):
        return
    found = exam.plugins.find(group, str(node.get("use")))
    if found is None:
        yield Finding(str(path), f"no plugin offers {group}={node.get('use')}", "Write use: NAME in it.")
        return
    wrong: list[Finding] = []

    def report(where: str, what: str, remedy: str) -> None:
        if not what.startswith("a value is required") and "no file or folder" not in what:
            wrong.append(Finding(f"{path}: {where}", what, remedy))

    fields = {
        name: value for name, value in node.items() if name not in ("use", "retry", "time_limit", "inputs")
    }
    reader(exam.plugins, report).read(fields, resolve(found.config), "")  # type: ignore[arg-type]
    yield from wrong


def _recipe(exam: Examination, path: Path) -> Iterator[Finding]:
    from llmops_core.check import check

    try:
        check(str(path), (), exam.plugins, modules=False)
    except RecipeError as error:
        for problem in error.problems:
            yield Finding(str(path), str(problem))


CHECKS = (
    Check("contract", "imports", imports),
    Check("contract", "hooks", hooks),
    Check("contract", "version", version),
    Check("contract", "implementations", offers),
    Check("contract", "references", references),
    Check("contract", "packages", packages),
    Check("contract", "presets", presets),
    Check("contract", "commands", commands),
    Check("import", "quick", quick),
    Check("import", "nothing heavy", nothing_heavy),
)
