"""A checked recipe written out whole, defaults included: itself a recipe that composes to the same."""

from __future__ import annotations

from typing import Any

import yaml

from llmops_core.config import Recipe, RecipeSettings
from llmops_core.typed import plain


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values; a step under another name than its stage's says which it is of."""
    document: dict[str, Any] = {"env": recipe.environment, **plain(recipe.settings)}
    for name in RecipeSettings.__dataclass_fields__:
        if document.get(name) is None:
            document.pop(name, None)
    for step in recipe.steps:
        node: dict[str, Any] = {} if step.name == step.stage else {"stage": step.stage}
        document[step.name] = {
            **node,
            "use": step.implementation.name,
            **plain(step.settings),
            **plain(step.config),
        }
        document[step.name]["inputs"] = dict(step.inputs)
    return document


def as_yaml(recipe: Recipe, *, origins: bool = False) -> str:
    """The same as YAML, each value with where it came from when `origins` is set."""
    text: str = yaml.safe_dump(resolved(recipe), sort_keys=False, allow_unicode=True, width=100)
    if not origins:
        return text
    lines: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        indent = (len(line) - len(line.lstrip())) // 2
        key = line.strip().partition(":")[0]
        path = [*path[:indent], key]
        place = "" if line.strip().startswith("-") else recipe.origins.places.get(".".join(path), "")
        lines.append(f"{line}  # {place}" if place else line)
    return "\n".join(lines) + "\n"
