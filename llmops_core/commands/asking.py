"""What commands share: their arguments, and the plugins, recipe, store and run that these name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmops_core import completion

if TYPE_CHECKING:
    from llmops_core.config import Recipe
    from llmops_core.manifest import Manifest
    from llmops_core.plugins import Plugins
    from llmops_core.secrets import Secrets
    from llmops_core.store import Store

recipe_argument = click.argument("recipe", shell_complete=completion.recipes)
overrides_argument = click.argument("overrides", nargs=-1, shell_complete=completion.overrides)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
store_option = click.option(
    "--store", metavar="FOLDER", help="The store to look into.  [default: $LLMOPS_STORE or .llmops]"
)


def _other_store(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value:
        ctx.obj = store_at(value)


own_store_option = click.option(
    "--store",
    metavar="FOLDER",
    expose_value=False,
    callback=_other_store,
    help="The store to look into, here or before the command.",
)
"""For the commands of a group that has `store_option`: the place does not matter."""
environment_option = click.option(
    "--env", "environment", default="dev", show_default=True, help="The environment."
)


def loaded_plugins(console: bool = False) -> Plugins:
    """Every plugin; with `console`, the one that shows a run on the terminal too."""
    from llmops_core.plugins import load

    extra: list[tuple[str, Any]] = []
    if console:
        from llmops_core.console import Console

        extra.append(("console", Console()))
    return load(extra)


def checked_recipe(
    recipe: str | None,
    overrides: Sequence[str],
    from_run: str | None,
    plugins: Plugins,
    *,
    store: str | None = None,
    modules: bool = True,
) -> Recipe:
    """The recipe that a command is about, checked. Raises RecipeError, UsageError."""
    from llmops_core.check import check as check_recipe
    from llmops_core.errors import UsageError

    name = ""
    if from_run is not None:
        record = run_record(store_at(store), from_run)
        name = str(record.document.get("recipe") or "")
        overrides = [*([recipe] if recipe else []), *overrides]
        recipe = str(record.folder / "recipe.yaml")
    elif recipe is None:
        raise UsageError("which recipe?", remedy="Give a name (llmops show recipes), a path, or --from RUN.")
    if store is not None:
        overrides = [*overrides, f"store={store}"]
    found = check_recipe(recipe, overrides, plugins, modules=modules)
    return dataclasses.replace(found, name=name or found.name)


def store_of(recipe: Recipe) -> Store:
    """The store that a recipe names."""
    return store_at(recipe.settings.store)


def store_at(folder: str | None) -> Store:
    """The store in a folder, by default $LLMOPS_STORE or .llmops."""
    from llmops_core.store import Store

    return Store(Path(folder or os.environ.get("LLMOPS_STORE") or ".llmops").expanduser())


def command_secrets() -> Secrets:
    """What the streams of this command keep silent about."""
    from llmops_core.secrets import Secrets

    found = click.get_current_context().find_root().obj
    secrets = found if isinstance(found, Secrets) else Secrets()
    secrets.expect_usual()
    return secrets


def run_record(store: Store, run: str) -> Manifest:
    """A run by number or name."""
    from llmops_core.manifest import read_run

    return read_run(store, run)
