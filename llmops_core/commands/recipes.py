"""Commands about recipes: run, plan, check, show."""

from __future__ import annotations

import sys
from typing import Any

import click

from llmops_core import completion
from llmops_core.commands.asking import (
    checked_recipe,
    command_secrets,
    json_option,
    loaded_plugins,
    overrides_argument,
    recipe_argument,
    store_of,
    store_option,
)
from llmops_core.commands.groups import Commands
from llmops_core.commands.printing import print_json, print_rows, print_run, standard_output_kept


@click.command()
@click.argument("recipe", required=False, shell_complete=completion.recipes)
@overrides_argument
@click.option("--from", "from_run", metavar="RUN", help="Repeat an earlier run, with its resolved config.")
@click.option("--name", default="", help="A name for this run.")
@click.option("--tag", "tags", multiple=True, help="A tag; what a tagged run made is kept.")
@click.option("--parent", default="", metavar="RUN", help="The run that this one is a trial of.")
@store_option
@json_option
def run(recipe: str | None, overrides: tuple[str, ...], from_run: str | None, **options: Any) -> None:
    """Run a recipe; go on where an earlier run of it stopped."""
    from llmops_core.runner import Runner, RunOptions

    as_json = options["as_json"]
    plugins = loaded_plugins(console=not as_json)
    checked = checked_recipe(recipe, overrides, from_run, plugins, store=options["store"])
    said = RunOptions(options["name"], options["tags"], options["parent"])
    runner = Runner(checked, plugins, store_of(checked), said, command_secrets())
    try:
        with standard_output_kept(as_json):
            runner.run()
    finally:
        # whatever ended it: what was done, and where it lies
        manifest = getattr(runner, "manifest", None)
        if manifest is not None:
            print_run(manifest, as_json)


@click.command()
@click.argument("recipe", required=False, shell_complete=completion.recipes)
@overrides_argument
@click.option("--from", "from_run", metavar="RUN", help="Plan an earlier run again.")
@store_option
@json_option
def plan(
    recipe: str | None, overrides: tuple[str, ...], from_run: str | None, store: str | None, as_json: bool
) -> None:
    """Show what would run and why, and what it would need."""
    from llmops_core import listing
    from llmops_core.manifest import all_runs
    from llmops_core.plan import Planner
    from llmops_core.runner import HISTORY

    plugins = loaded_plugins()
    checked = checked_recipe(recipe, overrides, from_run, plugins, store=store, modules=False)
    place = store_of(checked)
    place.check_format()
    history = [one.document for one in all_runs(place, HISTORY)]
    found = Planner(checked, plugins, place, history).plan()
    if as_json:
        print_json(listing.plan_document(found))
    else:
        click.echo(listing.plan(found, place.root))


@click.command()
@recipe_argument
@overrides_argument
@json_option
def check(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Find every problem of a recipe, without running anything."""
    import dataclasses

    from llmops_core.doctor import install_command, lacking
    from llmops_core.errors import RecipeError

    try:
        plugins = loaded_plugins()
        checked = checked_recipe(recipe, overrides, None, plugins, modules=False)
    except RecipeError as error:
        if not as_json:
            raise
        print_json({"problems": [dataclasses.asdict(problem) for problem in error.problems]})
        sys.exit(error.exit_status)
    absent = lacking(checked, plugins)
    if as_json:
        print_json({"problems": [], "missing": absent})
        return
    click.echo(f"{checked.name} is right: {', '.join(step.name for step in checked.steps)}")
    if absent:
        click.echo(f"to run it here: {install_command(absent)}")


@click.group(cls=Commands, within="show")
def show() -> None:
    """Show a recipe's config, the recipes, the options, the schema."""


@show.command("config")
@recipe_argument
@overrides_argument
@click.option("--origins", is_flag=True, help="Say where each value came from.")
@json_option
def show_config(recipe: str, overrides: tuple[str, ...], origins: bool, as_json: bool) -> None:
    """The whole resolved recipe, defaults included: itself a recipe that can be run."""
    from llmops_core.resolved import as_yaml, resolved

    checked = checked_recipe(recipe, overrides, None, loaded_plugins(), modules=False)
    if as_json:
        print_json(resolved(checked))
    else:
        click.echo(as_yaml(checked, origins=origins), nl=False)


@show.command("recipes")
@json_option
def show_recipes(as_json: bool) -> None:
    """Every recipe that can be named without a path."""
    from llmops_core.options import recipes

    print_rows(recipes(loaded_plugins()), as_json)


@show.command("options")
@click.argument("group", required=False, shell_complete=completion.groups)
@click.argument("name", required=False)
@json_option
def show_options(group: str | None, name: str | None, as_json: bool) -> None:
    """The groups; a group's presets and implementations; an implementation's fields."""
    from llmops_core import options

    plugins = loaded_plugins()
    if group is None:
        print_rows(options.groups(plugins), as_json)
    elif name is None:
        print_rows(options.members(plugins, group), as_json)
    else:
        print_rows(options.fields(plugins, group, name), as_json)


@show.command("schema")
@click.argument("group", required=False, shell_complete=completion.groups)
def show_schema(group: str | None) -> None:
    """The JSON Schema of recipes, or of a GROUP's presets, for editors."""
    from llmops_core.options import known_group
    from llmops_core.schema import preset_schema, schema

    plugins = loaded_plugins()
    print_json(schema(plugins) if group is None else preset_schema(plugins, known_group(plugins, group)))
