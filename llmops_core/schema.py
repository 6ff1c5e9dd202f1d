"""The JSON Schema of recipes, made from the stages' implementations and their dataclasses."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Union

from llmops_core.config import RecipeSettings, StepSettings
from llmops_core.plugins import Plugins, resolve
from llmops_core.settings import Declared, Part, declared
from llmops_core.stages import BY_NAME, STAGES
from llmops_core.typed import plain

DIALECT = "https://json-schema.org/draft/2020-12/schema"
INTERPOLATION = {"type": "string", "pattern": r"\$\{"}
REQUIRED = {"const": "???"}


def schema(plugins: Plugins) -> dict[str, Any]:
    """The schema of a recipe file."""
    properties: dict[str, Any] = {
        "defaults": {"type": "array", "items": {"type": ["string", "object"]}},
        "env": {"type": "string"},
        **_properties(RecipeSettings, plugins),
    }
    for stage in STAGES:
        properties[stage.name] = {"description": stage.about, **_choice(stage.name, plugins, StepSettings)}
    definitions = {
        f"{group}={name}": _implementation(group, name, plugins)
        for group, name in sorted(plugins.implementations)
    }
    return {
        "$schema": DIALECT,
        "title": "llmops recipe",
        "type": "object",
        "properties": properties,
        "$defs": definitions,
    }


def preset_schema(plugins: Plugins, group: str) -> dict[str, Any]:
    """The schema of a preset file of a group: what stands under a step of that stage, or in a part."""
    common = StepSettings if group in BY_NAME else None
    node = _choice(group, plugins, common)
    return {
        "$schema": DIALECT,
        "title": f"llmops preset of {group}",
        **node,
        "$defs": _definitions(plugins, node),
    }


def _definitions(plugins: Plugins, node: Any) -> dict[str, Any]:
    """Every implementation that a node refers to, directly or through another."""
    found: dict[str, Any] = {}
    waiting = [node]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                group, _, use = name.rpartition("=")
                found[name] = _implementation(group, use, plugins)
                waiting.append(found[name])
    return dict(sorted(found.items()))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(reference := node.get("$ref"), str):
            yield reference.removeprefix("#/$defs/").replace("~1", "/")
        node = node.values()
    if isinstance(node, (list, tuple)) or not isinstance(node, (str, int, float, type(None))):
        for member in node:
            yield from _references(member)


def _choice(group: str, plugins: Plugins, common: type[Any] | None = None) -> dict[str, Any]:
    """A node that may belong to any implementation of a group; `use` decides, and may come from a preset."""
    names = plugins.names(group)
    cases = [
        {
            "if": {"type": "object", "properties": {"use": {"const": name}}, "required": ["use"]},
            "then": {"$ref": f"#/$defs/{group.replace('/', '~1')}={name}"},
        }
        for name in names
    ]
    found: dict[str, Any] = {"type": ["object", "string"] if "/" in group else "object"}
    found["properties"] = {"use": {"enum": names}, **(_properties(common) if common else {})}
    return {**found, "allOf": cases} if cases else found


def _implementation(group: str, name: str, plugins: Plugins) -> dict[str, Any]:
    one = plugins.implementations[(group, name)]
    cls: Any = resolve(one.config)
    properties = {"use": {"const": name}, **_properties(cls, plugins)}
    if group in BY_NAME:
        properties |= _properties(StepSettings)
        properties["stage"] = {"const": group}
    return {
        "type": "object",
        "description": one.about,
        "properties": properties,
        "additionalProperties": False,
    }


def _properties(cls: Any, plugins: Plugins | None = None) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: _field(field, hints[field.name], plugins) for field in dataclasses.fields(cls)}


def _field(field: dataclasses.Field[Any], hint: Any, plugins: Plugins | None) -> dict[str, Any]:
    says = declared(field)
    unit = f" Unit: {says.unit}." if says.unit else ""
    found: dict[str, Any] = {"description": says.doc + unit}
    if field.default is not dataclasses.MISSING:
        found["default"] = plain(field.default)
    kind = _type(hint, says, plugins)
    return {**found, **(kind if kind.get("type") == "string" else {"anyOf": [kind, INTERPOLATION, REQUIRED]})}


def _type(hint: Any, says: Declared, plugins: Plugins | None) -> dict[str, Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(one, says, plugins) for one in inner]}
    if hint is Part:
        return _choice(says.group, plugins) if plugins else {"type": "object"}
    if origin is Literal:
        return {"enum": list(inner)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {
            "type": "object",
            "additionalProperties": {"anyOf": [_type(inner[1], says, plugins), {"type": "null"}]},
        }
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": _type(inner[0], says, plugins)}
    if dataclasses.is_dataclass(hint):
        return {"type": "object", "properties": _properties(hint, plugins), "additionalProperties": False}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {"type": names[hint], **_bounds(says)} if hint in names else {}


def _bounds(says: Declared) -> dict[str, Any]:
    words = {
        "minimum": says.at_least,
        "maximum": says.at_most,
        "exclusiveMinimum": says.above,
        "exclusiveMaximum": says.below,
    }
    return {word: bound for word, bound in words.items() if bound is not None}
