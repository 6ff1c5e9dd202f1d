"""Commands about what is live: releases, serve."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from llmops_core import completion
from llmops_core.commands.asking import (
    command_secrets,
    environment_option,
    json_option,
    loaded_plugins,
    own_store_option,
    store_at,
    store_option,
)
from llmops_core.commands.printing import print_rows

if TYPE_CHECKING:
    from llmops_core.store import Store


@click.group(invoke_without_command=True)
@store_option
@json_option
@click.pass_context
def releases(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """What was released, what is or was live; put the previous one back."""
    ctx.obj = store_at(store)
    ctx.obj.check_format()
    if ctx.invoked_subcommand is None:
        from llmops_core.deployments import released

        print_rows(released(ctx.obj), as_json, empty="no releases yet")


@releases.command("show")
@click.argument("release", default="latest", shell_complete=completion.releases)
@json_option
@own_store_option
@click.pass_obj
def releases_show(store: Store, release: str, as_json: bool) -> None:
    """A release: its model, gates and scores."""
    from llmops_core.deployments import describe

    print_rows(describe(store, release), as_json)


@releases.command("history")
@click.option("--env", "environment", default=None, help="Only this environment.")
@json_option
@own_store_option
@click.pass_obj
def releases_history(store: Store, environment: str | None, as_json: bool) -> None:
    """Every deployment: what was live, from when to when, by which run."""
    from llmops_core.deployments import history

    print_rows(history(store, environment), as_json)


@releases.command("at")
@click.argument("time")
@click.option("--env", "environment", default=None, help="Only this environment.")
@json_option
@own_store_option
@click.pass_obj
def releases_at(store: Store, time: str, environment: str | None, as_json: bool) -> None:
    """What was live at TIME, for instance 2026-11-20T09:00 (UTC unless it says otherwise)."""
    from llmops_core.deployments import live_at

    print_rows(live_at(store, time, environment), as_json, empty=f"nothing was live at {time}")


@releases.command("rollback")
@environment_option
@own_store_option
@click.pass_obj
def releases_rollback(store: Store, environment: str) -> None:
    """Put back what was live before, with the settings it was deployed with."""
    from llmops_core import listing
    from llmops_core.rollback import rollback

    click.echo(listing.run(rollback(store, environment, loaded_plugins(console=True), command_secrets())))


@releases.command("stop")
@environment_option
@own_store_option
@click.pass_obj
def releases_stop(store: Store, environment: str) -> None:
    """Stop what is live in an environment."""
    from llmops_core.live import stop_environment

    stopped = stop_environment(store, environment, loaded_plugins(), command_secrets())
    click.echo(
        f"stopped {stopped.release} in {environment}" if stopped else f"nothing is live in {environment}"
    )


@click.command()
@click.argument("release", default="latest", shell_complete=completion.releases)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, help="The port; 0 takes a free one.")
@click.option("--api-key", metavar="NAME", help="The environment variable with the key clients must send.")
@click.option("--use", default="openai_server", show_default=True, help="The deploy implementation.")
@environment_option
@store_option
def serve(release: str, api_key: str | None, environment: str, store: str | None, **fields: Any) -> None:
    """Serve a release over an OpenAI-compatible API until interrupted."""
    from llmops_core.live import serve as serve_release

    if api_key:
        fields["api_key"] = f"${{secret:{api_key}}}"
    place, plugins = store_at(store), loaded_plugins()
    sys.exit(serve_release(place, release, environment, fields, plugins, command_secrets()))
