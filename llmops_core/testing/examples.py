"""What each implementation is tried on: its plugin's own examples, completed by what the kit makes."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Artifact
from llmops_core.check import chosen
from llmops_core.config import Step
from llmops_core.entry_points import EntryPoint
from llmops_core.hookspecs import Implementation
from llmops_core.plugins import Plugins, missing, resolve
from llmops_core.settings import Part, declared
from llmops_core.stages import BY_NAME
from llmops_core.testing.material import Material
from llmops_core.typed import Reading

MODULE = "examples"


@dataclass(frozen=True)
class Example:
    """Small inputs on which an implementation can be tried in seconds."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """The fields to set, as YAML would. A part's example gives the part's own fields."""
    inputs: Mapping[str, Artifact | None] = field(default_factory=dict)
    """Slot -> artifact, for those that should not be the kit's own. None leaves an optional slot empty."""
    fixed: Sequence[str] = ()
    """Fields marked output=False that the kit must not vary."""
    reads: Sequence[str] = ()
    """Folders outside its inputs that it may read (a compiler's cache, for instance)."""
    network: bool = False
    """Whether it has to reach other machines."""
    untried: str = ""
    """Why it cannot be run by the kit, a sentence: it is then only looked at."""


class Unfit(Exception):  # noqa: N818 - a reason, not a fault
    """Why something cannot be tried. `remedy` says what would let it; `meant`: its author says so."""

    def __init__(self, what: str, remedy: str = "", *, meant: bool = False) -> None:
        super().__init__(what)
        self.remedy = remedy
        self.meant = meant


@dataclass(frozen=True)
class Trial:
    """A step that can be run: an implementation with a typed config and inputs in a store."""

    step: Step
    inputs: Mapping[str, Artifact]
    example: Example
    material: Material


Given = Callable[[Material], Mapping[str, Example]]


def trial(
    plugins: Plugins, implementation: Implementation, material: Material, given: Given | None = None
) -> Trial:
    """The step on which an implementation is tried; a part is tried within its owner's step.

    `given` are examples that stand in for the plugins' own. Raises Unfit when there is no way to.
    """
    stage = implementation.group.partition("/")[0]
    if stage not in BY_NAME:
        raise Unfit(f"{implementation.group} is no stage: nothing runs it as a step", meant=True)
    example = example_of(plugins, implementation, material, given)
    if example.untried:
        raise Unfit(example.untried, meant=True)
    owner = implementation
    if "/" in implementation.group:
        owner, name, many = owner_of(plugins, implementation.group)
        example = _within(example_of(plugins, owner, material, given), example, implementation, (name, many))
    step = Step("trial", stage, owner, typed(plugins, owner, example.config))
    for _, one in chosen(step, plugins):
        if absent := missing(one):
            remedy = f"pip install '{one.extra or ' '.join(absent)}'"
            raise Unfit(f"{one.name} needs {', '.join(absent)}, not installed here", remedy)
    return Trial(step, _inputs(owner, example, material), example, material)


def example_of(
    plugins: Plugins, implementation: Implementation, material: Material, given: Given | None = None
) -> Example:
    """The example that a plugin gives of its implementation; an empty one when it gives none."""
    name = f"{implementation.group}={implementation.name}"
    material.folder.mkdir(parents=True, exist_ok=True)
    if given is not None and name in (own := given(material)):
        return own[name]
    point = plugins.owners[(implementation.group, implementation.name)]
    module = examples_module(point)
    found = module.examples(material) if module else {}
    example: Example = found.get(name, Example())
    return example


def examples_module(point: EntryPoint) -> Any:
    """The module `examples` beside a plugin's plugin.py, or None."""
    package = point.value.partition(":")[0].rpartition(".")[0]
    if not package or importlib.util.find_spec(f"{package}.{MODULE}") is None:
        return None
    return importlib.import_module(f"{package}.{MODULE}")


def examples_place(plugins: Plugins, implementation: Implementation) -> str:
    """Where the author writes an example, as a remedy says it."""
    package = implementation.target.partition(".")[0].partition(":")[0]
    return f'Give an example of "{implementation.group}={implementation.name}" in {package}/examples.py.'


def owner_of(plugins: Plugins, group: str) -> tuple[Implementation, str, bool]:
    """The implementation whose config chooses from a part's group, the field, and whether of many.

    Raises Unfit when nothing installed does.
    """
    stage = group.partition("/")[0]
    for (of, _), one in plugins.implementations.items():
        if of != stage:
            continue
        for name, chosen_from, many in part_fields(resolve(one.config)):
            if chosen_from == group:
                return one, name, many
    raise Unfit(f"no installed implementation of {stage} chooses from {group}")


def part_fields(cls: Any) -> Iterator[tuple[str, str, bool]]:
    """The fields of a config that choose parts: (name, group, whether of many)."""
    hints = typing.get_type_hints(cls)
    for one in dataclasses.fields(cls):
        if group := declared(one).group:
            yield one.name, group, hints[one.name] is not Part


def typed(plugins: Plugins, implementation: Implementation, node: Mapping[str, Any]) -> Any:
    """The config of an implementation from plain values. Raises Unfit naming what is wrong."""
    wrong: list[str] = []
    reading = reader(plugins, lambda path, what, remedy: wrong.append(f"{path}: {what}".removeprefix(": ")))
    config = reading.read(node, resolve(implementation.config), "")  # type: ignore[arg-type]
    if wrong:
        raise Unfit("; ".join(wrong), examples_place(plugins, implementation))
    return config


def reader(plugins: Plugins, report: Any) -> Reading:
    """Reads configs as the core does; paths start in the current folder."""

    def config_class(path: str, group: str, use: str) -> type[Any] | None:
        found = plugins.find(group, use)
        if found is None:
            report(path, f"no installed plugin offers {group}={use}", "")
            return None
        return resolve(found.config)  # type: ignore[return-value]

    return Reading(report, config_class, lambda path: Path())


def _within(owner: Example, own: Example, part: Implementation, field: tuple[str, bool]) -> Example:
    """An owner's example, in which a part is chosen."""
    name, many = field
    chosen: dict[str, Any] = {"use": part.name, **own.config}
    before = owner.config.get(name)
    if many:
        members = dict(before or {})
        already = members.get(part.name, {}) if not own.config else {}
        members[part.name] = {**(already or {}), **chosen}
        chosen = members
    return dataclasses.replace(
        owner,
        config={**owner.config, name: chosen},
        inputs={**owner.inputs, **own.inputs},
        fixed=(*owner.fixed, *own.fixed),
        reads=(*owner.reads, *own.reads),
        network=owner.network or own.network,
    )


def _inputs(implementation: Implementation, example: Example, material: Material) -> dict[str, Artifact]:
    found: dict[str, Artifact] = {}
    known = parameters(implementation.target)
    for slot in BY_NAME[implementation.group].takes:
        if slot.optional and slot.name not in {*known, *example.inputs}:
            continue
        given = (
            example.inputs[slot.name] if slot.name in example.inputs else material.of(slot.kind, slot.name)
        )
        if given is not None:
            found[slot.name] = given
        elif not slot.optional:
            raise Unfit(
                f"the kit makes no {slot.kind} for {slot.name}", f"Give inputs={{{slot.name!r}: ...}}."
            )
    return found


def parameters(reference: str) -> set[str]:
    """The names of a function's parameters, read from its source: its module may be heavy to import."""
    module, _, name = reference.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    except (ImportError, OSError, UnicodeDecodeError):
        return set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            given = node.args
            return {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    return set()
