"""What the shell offers: recipes, groups with their options, fields, releases."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click

    from llmops_core.plugins import Plugins


def recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Bundled recipes, then files."""
    from click.shell_completion import CompletionItem

    from llmops_core.locate import Library

    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    here = sorted(path.name for path in Path().glob("*.yaml"))
    return [name for name in (*Library.of().recipe_names(), *here) if name.startswith(incomplete)]


def overrides(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """`train=` with its options, `train.lr=` with the fields of what the recipe chose."""
    from llmops_core.errors import LlmopsError

    try:
        return [
            one
            for one in _overrides(str(ctx.params.get("recipe") or ""), incomplete)
            if one.startswith(incomplete)
        ]
    except (LlmopsError, OSError):
        return []  # a shell that completes has no place for errors; the command itself tells them


def groups(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Every group of presets and implementations."""
    from llmops_core.plugins import load

    plugins = load()
    return sorted(one for one in {*plugins.groups(), *plugins.library.groups} if one.startswith(incomplete))


def releases(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of the store's releases."""
    from llmops_core.releases import all_releases
    from llmops_core.store import Store

    store = Store(Path(os.environ.get("LLMOPS_STORE") or ".llmops"))
    return [one.name for one in all_releases(store) if one.name.startswith(incomplete)]


def _overrides(recipe: str, incomplete: str) -> Iterable[str]:
    from llmops_core.defaults import read_recipe
    from llmops_core.plugins import load

    plugins = load()
    path = plugins.library.recipe(recipe)
    library = plugins.library.beside(path.parent)
    written = read_recipe(path, library)
    steps, groups = written.steps(), {*plugins.groups(), *library.groups}
    if incomplete.startswith("~"):
        yield from (f"~{name}" for name in steps)
        return
    key, assigned, _ = incomplete.partition("=")
    if assigned:
        first, *rest = key.lstrip("+").replace("/", ".").split(".")
        group = "/".join([steps.get(first.partition("@")[0], first.partition("@")[0]), *rest])
        yield from (f"{key}={name}" for name in plugins.options(group, library))
        return
    yield from (f"{group}=" for group in sorted(groups) if "/" in incomplete or "/" not in group)
    for name, stage in steps.items():
        choice = written.chosen(stage, name)
        # reading an implementation's fields takes time: only of the step that is being typed
        if choice and incomplete and f"{name}.".startswith(incomplete[: len(name) + 1]):
            yield from (f"{name}.{field}=" for field in _fields(plugins, stage, choice.name))


def _fields(plugins: Plugins, group: str, name: str) -> Iterable[str]:
    import dataclasses

    from llmops_core.errors import LlmopsError
    from llmops_core.plugins import resolve

    implementation = plugins.behind(group, name)
    try:
        cls: Any = resolve(implementation.config) if implementation else None
    except LlmopsError:
        return []
    return [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
