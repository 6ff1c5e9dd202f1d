"""Commands about what did run, and the store it is kept in: runs, store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from llmops_core.commands.asking import json_option, own_store_option, run_record, store_at, store_option
from llmops_core.commands.printing import print_json, print_rows

if TYPE_CHECKING:
    from llmops_core.store import Store


@click.group(invoke_without_command=True)
@store_option
@json_option
@click.pass_context
def runs(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """What did run: list the runs, show or compare them, remove one."""
    ctx.obj = store_at(store)
    ctx.obj.check_format()
    if ctx.invoked_subcommand is None:
        from llmops_core import listing
        from llmops_core.manifest import all_runs

        found = all_runs(ctx.obj)
        if as_json:
            print_json([{**run.document, "status": run.status} for run in found])
        else:
            click.echo(listing.runs(found))


@runs.command("show")
@click.argument("run", default="latest")
@json_option
@own_store_option
@click.pass_obj
def runs_show(store: Store, run: str, as_json: bool) -> None:
    """A run: its steps, estimates beside actuals, warnings, error."""
    from llmops_core import listing

    found = run_record(store, run)
    if as_json:
        print_json({**found.document, "status": found.status})
    else:
        click.echo(listing.run(found))


@runs.command("diff")
@click.argument("old")
@click.argument("new")
@json_option
@own_store_option
@click.pass_obj
def runs_diff(store: Store, old: str, new: str, as_json: bool) -> None:
    """What differs between two runs: config, packages, outputs, scores."""
    from llmops_core.differences import differences

    print_rows(differences(run_record(store, old), run_record(store, new)), as_json, empty="no difference")


@runs.command("rm")
@click.argument("run", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also one that seems to be running, on a machine that is gone.")
@own_store_option
@click.pass_obj
def runs_rm(store: Store, run: tuple[str, ...], force: bool) -> None:
    """Remove the record of runs; `llmops store gc` then frees what only they held."""
    from llmops_core.manifest import remove_run

    for one in run:
        click.echo(f"removed the record of run {remove_run(store, one, force=force)}")


@click.group()
@store_option
@click.pass_context
def store(ctx: click.Context, store: str | None) -> None:
    """Verify the store; remove what nothing holds."""
    ctx.obj = store_at(store)


@store.command("verify")
@json_option
@own_store_option
@click.pass_obj
def store_verify(store: Store, as_json: bool) -> None:
    """Hash every file of every artifact anew."""
    from llmops_core import wording

    store.check_format()
    found = dict(store.verify())
    damaged = {digest: wrong for digest, wrong in found.items() if wrong}
    if as_json:
        print_json({"artifacts": len(found), "damaged": damaged})
    else:
        for digest, wrong in damaged.items():
            for text in wrong:
                click.echo(f"  {digest[:12]}  {text}")
        click.echo(f"{wording.counted(len(found), 'artifact')}, {len(damaged)} damaged")
    if damaged:
        click.echo("A damaged artifact is made again when a recipe needs it.", err=True)
        sys.exit(1)


@store.command("gc")
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@click.option("--all", "everything", is_flag=True, help="Also what the latest run of each recipe used.")
@json_option
@own_store_option
@click.pass_obj
def store_gc(store: Store, dry_run: bool, everything: bool, as_json: bool) -> None:
    """Remove what no running run, release, deployment, tag or latest run holds."""
    from llmops_core import wording
    from llmops_core.gc import collect

    store.check_format()
    found = collect(store, keep_latest=not everything, dry_run=dry_run)
    if as_json:
        rows = [{"what": one.what, "size": one.size, "path": str(one.path)} for one in found]
        print_json({"removed": not dry_run, "garbage": rows})
        return
    for garbage in found:
        click.echo(f"  {garbage.what:<10}  {wording.size(garbage.size):>8}  {garbage.path.name}")
    verb = "would free" if dry_run else "freed"
    click.echo(f"{verb} {wording.size(sum(garbage.size for garbage in found))}")
