"""A checked recipe written out whole, defaults included: itself a recipe that composes to the same."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from llmops_core.config import Recipe
from llmops_core.nodes import Loader
from llmops_core.secret_names import names_secret
from llmops_core.typed import plain

OPENS = re.compile(r"(\\*)\$\{")
"""Where OmegaConf would begin an interpolation, and the backslashes that it would read first."""


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values; a step under another name than its stage's says which it is of."""
    document: dict[str, Any] = {"env": recipe.environment, **plain(recipe.settings)}
    if not recipe.settings.track:
        del document["track"]
    for step in recipe.steps:
        node: dict[str, Any] = {} if step.name == step.stage else {"stage": step.stage}
        document[step.name] = {
            **node,
            "use": step.implementation.name,
            **plain(step.settings),
            **plain(step.config),
        }
        document[step.name]["inputs"] = dict(step.inputs)
    written: dict[str, Any] = escaped(document)
    return written


def escaped(value: Any) -> Any:
    """The same value as it must be written, so that a text with ${ in it is no interpolation."""
    if isinstance(value, Mapping):
        return {name: escaped(member) for name, member in value.items()}
    if isinstance(value, list):
        return [escaped(member) for member in value]
    if isinstance(value, str) and not names_secret(value):
        return OPENS.sub(lambda found: found[1] * 2 + "\\${", value)
    return value


def as_yaml(recipe: Recipe, *, origins: bool = False) -> str:
    """The same as YAML, each value with where it came from when `origins` is set."""
    text: str = yaml.safe_dump(resolved(recipe), sort_keys=False, allow_unicode=True, width=sys.maxsize)
    if not origins:
        return text
    lines = text.split("\n")
    for path, key, value in _pairs(yaml.compose(text, Loader=Loader), ""):
        place = recipe.origins.places.get(path, "")
        one_line = not isinstance(value, yaml.ScalarNode) or value.end_mark.line == key.start_mark.line
        if place and one_line:  # a comment in the midst of a longer text would become part of it
            lines[key.start_mark.line] += f"  # {place}"
    return "\n".join(lines)


def _pairs(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = f"{prefix}.{key.value}" if prefix else str(key.value)
            yield path, key, value
            yield from _pairs(value, path)
