"""Commands about what is installed: plugins, plugin, doctor."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llmops_core.commands.asking import json_option, loaded_plugins
from llmops_core.commands.printing import print_json, print_rows


@click.command("plugins")
@json_option
def plugins_command(as_json: bool) -> None:
    """What is installed, what it offers, and what is broken."""
    from llmops_core.options import installed

    plugins = loaded_plugins()
    print_rows(installed(plugins), as_json)
    for problem in plugins.problems:
        click.echo(f"problem: {problem}", err=True)
    if plugins.problems:
        sys.exit(2)


@click.group("plugin")
def plugin_group() -> None:
    """Write a plugin of your own; check one that is installed."""


@plugin_group.command("new")
@click.argument("name")
@click.option(
    "--stage", "group", required=True, metavar="GROUP", help="A stage (train) or a part (data/step)."
)
@click.option("--into", "folder", default=".", metavar="FOLDER", help="Where its folder is made.")
def plugin_new(name: str, group: str, folder: str) -> None:
    """Write a whole small distribution with one implementation of a stage, or of a part of one."""
    from llmops_core.plugin_new import write_plugin

    place = write_plugin(name, group, Path(folder), loaded_plugins())
    click.echo(f"wrote {place}\nnext: cd {place} && pip install -e '.[test]' && pytest -q")


@plugin_group.command("check")
@click.argument("name")
@click.option("--time-limit", default=120.0, show_default=True, help="Seconds that one process may take.")
@click.option("--no-runs", is_flag=True, help="Only look; run nothing.")
@json_option
def plugin_check(name: str, time_limit: float, no_runs: bool, as_json: bool) -> None:
    """Try an installed plugin on the conformance kit; NAME is a distribution or an entry point."""
    from llmops_core.testing.examination import examining
    from llmops_core.testing.verdicts import document, passed, table, verdicts

    with examining(name, time_limit=time_limit, runs=not no_runs) as exam:
        found = verdicts(exam)
        if as_json:
            print_json(document(exam, found))
        else:
            click.echo(table(exam, found))
    sys.exit(0 if passed(found) else 1)


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """What this machine lacks for which recipe, and the command that brings it."""
    from llmops_core.doctor import diagnose

    report = diagnose(loaded_plugins())
    if as_json:
        print_json(report.document())
    else:
        click.echo(str(report))
    sys.exit(0 if report.healthy else 1)
