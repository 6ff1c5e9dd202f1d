"""What may be chosen: recipes, groups, presets, implementations, and their fields, as rows."""

from __future__ import annotations

import dataclasses
import itertools
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops_core.errors import UsageError
from llmops_core.locate import did_you_mean
from llmops_core.nodes import member, read_nodes, shown, text
from llmops_core.plugins import Plugins, missing, resolve
from llmops_core.settings import Declared, Part, declared
from llmops_core.stages import BESIDE, BY_NAME
from llmops_core.typed import plain


def recipes(plugins: Plugins) -> list[dict[str, Any]]:
    """Each recipe with what it is for."""
    rows = []
    for name, path in plugins.library.recipe_names().items():
        node, problems = read_nodes(path)
        about = f"broken: {problems[0].what}" if problems else text(member(node, "about")) or ""
        rows.append({"recipe": name, "about": about, "file": shown(path)})
    return rows


def groups(plugins: Plugins) -> list[dict[str, Any]]:
    """Each group with how many names it offers."""
    rows = []
    for group in sorted({*plugins.groups(), *plugins.library.groups}):
        about = BY_NAME[group].about if group in BY_NAME else BESIDE.get(group, "")
        rows.append(
            {"group": group, "options": ", ".join(plugins.options(group, plugins.library)), "about": about}
        )
    return rows


def members(plugins: Plugins, group: str) -> list[dict[str, Any]]:
    """A group's presets and implementations. Raises UsageError for a group that is not there."""
    known_group(plugins, group)
    rows = []
    for name in plugins.options(group, plugins.library):
        preset = plugins.library.preset(group, name)
        implementation = plugins.behind(group, name)
        kind = "preset" if preset else "implementation"
        about = (preset and _opening(preset)) or (implementation.about if implementation else "")
        rows.append({"name": name, "kind": kind, "about": about, "file": shown(preset) if preset else ""})
    return rows


def _opening(preset: Path) -> str:
    """The first sentence of the comment that a preset begins with; lines for machines are passed over."""
    try:
        lines = preset.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    told = (line.removeprefix("#").strip() for line in comment)
    first = next((line for line in told if not line.startswith(("@package", "yaml-language-server"))), "")
    sentence, stop, _ = first.partition(". ")
    return sentence + stop.strip()


def fields(plugins: Plugins, group: str, name: str) -> list[dict[str, Any]]:
    """The fields of an implementation, or of the one a preset uses. Raises UsageError."""
    known_group(plugins, group)
    implementation = plugins.behind(group, name)
    if implementation is None:
        options = plugins.options(group, plugins.library)
        remedy = did_you_mean(name, options) + f"See: llmops show options {group}"
        raise UsageError(f"there is no {name} in {group}", remedy=remedy)
    cls: Any = resolve(implementation.config)
    hints = typing.get_type_hints(cls)
    return [row(field, hints[field.name]) for field in dataclasses.fields(cls)]


def known_group(plugins: Plugins, group: str) -> str:
    """The group itself. Raises UsageError for one that is not there."""
    known = {*plugins.groups(), *plugins.library.groups}
    if group not in known:
        near = did_you_mean(group, known)
        raise UsageError(f"there is no group {group}", remedy=f"{near}See: llmops show options")
    return group


def row(field: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    """A field with its type, default, words and range."""
    says = declared(field)
    return {
        "field": field.name,
        "type": type_name(hint, says),
        "default": default_text(field),
        "doc": " ".join(text for text in (says.doc, range_text(says)) if text),
    }


def type_name(hint: Any, says: Declared) -> str:
    """A field's type in words a recipe's author knows."""
    if says.group:
        return f"choice of {says.group}" if hint is Part else f"choices of {says.group}"
    return _hint(hint)


def _hint(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(str(one) for one in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_hint(one) for one in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"names to {_hint(inner[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {_hint(inner[0])}"
    if dataclasses.is_dataclass(hint):
        return f"{{{', '.join(field.name for field in dataclasses.fields(hint))}}}"
    names = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null"}
    return names.get(hint, str(hint))


def default_text(field: dataclasses.Field[Any]) -> str:
    """A field's default as YAML would show it, or "required"."""
    if field.default is not dataclasses.MISSING:
        value = plain(field.default)
        return value["use"] if isinstance(field.default, Part) else "null" if value is None else str(value)
    if field.default_factory is not dataclasses.MISSING:
        return str(plain(field.default_factory()))
    return "required"


def range_text(says: Declared) -> str:
    """A field's unit and range."""
    bounds = [
        ("at least", says.at_least),
        ("at most", says.at_most),
        ("above", says.above),
        ("below", says.below),
    ]
    words = [f"{word} {bound:g}" for word, bound in bounds if bound is not None]
    unit = [says.unit] if says.unit else []
    said = ", ".join([*unit, *words, *([] if says.output else ["does not affect the output"])])
    return f"[{said}]" if said else ""


def installed(plugins: Plugins) -> list[dict[str, Any]]:
    """Each implementation with who offers it and whether it can run here."""
    rows = []
    for (group, name), one in sorted(plugins.implementations.items()):
        absent = missing(one)
        state = (
            f"needs {', '.join(absent)}: pip install '{one.extra or ' '.join(absent)}'" if absent else "ready"
        )
        rows.append(
            {
                "choice": f"{group}={name}",
                "by": str(plugins.owners[(group, name)]),
                "state": state,
                "about": one.about,
            }
        )
    return rows
