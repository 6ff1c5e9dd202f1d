"""The commands, thin: each imports what it needs when it runs, so that `llmops --help` stays quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llmops_core import __version__, completion

if TYPE_CHECKING:
    from llmops_core.config import Recipe
    from llmops_core.manifest import Manifest
    from llmops_core.plugins import Plugins
    from llmops_core.secrets import Secrets
    from llmops_core.store import Store

INTERRUPTED = 130
recipe_argument = click.argument("recipe", shell_complete=completion.recipes)
overrides_argument = click.argument("overrides", nargs=-1, shell_complete=completion.overrides)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
store_option = click.option(
    "--store", metavar="FOLDER", help="The store to look into.  [default: $LLMOPS_STORE or .llmops]"
)
environment_option = click.option(
    "--env", "environment", default="dev", show_default=True, help="The environment."
)


class Commands(click.Group):
    """The built-in commands, then those that plugins name under the entry points llmops.commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name."""
        return [*super().list_commands(ctx), *sorted(self._foreign())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command; a plugin's is imported only now."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        point = self._foreign().get(cmd_name)
        if point is None:
            return None
        if ctx.resilient_parsing or ctx.info_name is None:
            return None
        from llmops_core.plugins import resolve

        found = resolve(point.value)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Built-in commands with their help; plugins' with where they come from, not imported."""
        rows = [(name, self.commands[name].get_short_help_str(80)) for name in self.commands]
        rows += [(name, f"from {point}") for name, point in sorted(self._foreign().items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _foreign(self) -> dict[str, Any]:
        from llmops_core.entry_points import COMMANDS, entry_points

        return {point.name: point for point in entry_points(COMMANDS) if point.name not in self.commands}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="llmops")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """One recipe takes an LLM from data to a gated, released, served model.

    RECIPE is a bundled name or a path to a YAML file. Overrides are written like train.lr=1e-4,
    model=local, +x=y or ~train.
    """


@cli.command()
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
    plugins = _plugins(console=not as_json)
    checked = _checked(recipe, overrides, from_run, plugins, store=options["store"])
    said = RunOptions(options["name"], options["tags"], options["parent"])
    runner = Runner(checked, plugins, _store_of(checked), said, _secrets())
    try:
        with _standard_output_kept(as_json):
            runner.run()
    finally:
        # whatever ended it: what was done, and where it lies
        manifest = getattr(runner, "manifest", None)
        if manifest is not None:
            _print_run(manifest, as_json)


@cli.command()
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

    plugins = _plugins()
    checked = _checked(recipe, overrides, from_run, plugins, store=store, modules=False)
    place = _store_of(checked)
    place.check_format()
    history = [one.document for one in all_runs(place, HISTORY)]
    found = Planner(checked, plugins, place, history).plan()
    if as_json:
        _print_json(listing.plan_document(found))
    else:
        click.echo(listing.plan(found, place.root))


@cli.command()
@recipe_argument
@overrides_argument
@json_option
def check(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Find every problem of a recipe, without running anything; needs no heavy library."""
    import dataclasses

    from llmops_core.doctor import install_command, lacking
    from llmops_core.errors import RecipeError

    try:
        plugins = _plugins()
        checked = _checked(recipe, overrides, None, plugins, modules=False)
    except RecipeError as error:
        if not as_json:
            raise
        _print_json({"problems": [dataclasses.asdict(problem) for problem in error.problems]})
        sys.exit(error.exit_status)
    absent = lacking(checked, plugins)
    if as_json:
        _print_json({"problems": [], "missing": absent})
        return
    click.echo(f"{checked.name} is right: {', '.join(step.name for step in checked.steps)}")
    if absent:
        click.echo(f"to run it here: {install_command(absent)}")


@cli.group()
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

    checked = _checked(recipe, overrides, None, _plugins(), modules=False)
    if as_json:
        _print_json(resolved(checked))
    else:
        click.echo(as_yaml(checked, origins=origins), nl=False)


@show.command("recipes")
@json_option
def show_recipes(as_json: bool) -> None:
    """Every recipe that can be named without a path."""
    from llmops_core.options import recipes

    _print_rows(recipes(_plugins()), as_json)


@show.command("options")
@click.argument("group", required=False, shell_complete=completion.groups)
@click.argument("name", required=False)
@json_option
def show_options(group: str | None, name: str | None, as_json: bool) -> None:
    """The groups; a group's presets and implementations; an implementation's fields."""
    from llmops_core import options

    plugins = _plugins()
    if group is None:
        _print_rows(options.groups(plugins), as_json)
    elif name is None:
        _print_rows(options.members(plugins, group), as_json)
    else:
        _print_rows(options.fields(plugins, group, name), as_json)


@show.command("schema")
def show_schema() -> None:
    """The JSON Schema of recipes, for editors."""
    from llmops_core.schema import schema

    _print_json(schema(_plugins()))


@cli.group(invoke_without_command=True)
@store_option
@json_option
@click.pass_context
def runs(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """What did run: list the runs, show or compare them, remove one."""
    ctx.obj = _store(store)
    ctx.obj.check_format()
    if ctx.invoked_subcommand is None:
        from llmops_core import listing
        from llmops_core.manifest import all_runs

        found = all_runs(ctx.obj)
        if as_json:
            _print_json([{**run.document, "status": run.status} for run in found])
        else:
            click.echo(listing.runs(found))


@runs.command("show")
@click.argument("run", default="latest")
@json_option
@click.pass_obj
def runs_show(store: Store, run: str, as_json: bool) -> None:
    """A run: its steps, estimates beside actuals, warnings, error."""
    from llmops_core import listing

    found = _run_record(store, run)
    if as_json:
        _print_json({**found.document, "status": found.status})
    else:
        click.echo(listing.run(found))


@runs.command("diff")
@click.argument("old")
@click.argument("new")
@json_option
@click.pass_obj
def runs_diff(store: Store, old: str, new: str, as_json: bool) -> None:
    """What differs between two runs: config, packages, outputs, scores."""
    from llmops_core.differences import differences

    _print_rows(differences(_run_record(store, old), _run_record(store, new)), as_json)


@runs.command("rm")
@click.argument("run", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also one that seems to be running, on a machine that is gone.")
@click.pass_obj
def runs_rm(store: Store, run: tuple[str, ...], force: bool) -> None:
    """Remove the record of runs; `llmops store gc` then frees what only they held."""
    from llmops_core.manifest import remove_run

    for one in run:
        click.echo(f"removed the record of run {remove_run(store, one, force=force)}")


@cli.command("plugins")
@json_option
def plugins_command(as_json: bool) -> None:
    """What is installed, what it offers, and what is broken."""
    from llmops_core.options import installed

    plugins = _plugins()
    _print_rows(installed(plugins), as_json)
    for problem in plugins.problems:
        click.echo(f"problem: {problem}", err=True)
    if plugins.problems:
        sys.exit(2)


@cli.group("plugin")
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

    place = write_plugin(name, group, Path(folder), _plugins())
    click.echo(f"wrote {place}\nnext: cd {place} && pip install -e . && pytest -q")


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
            _print_json(document(exam, found))
        else:
            click.echo(table(exam, found))
    sys.exit(0 if passed(found) else 1)


@cli.group(invoke_without_command=True)
@store_option
@json_option
@click.pass_context
def releases(ctx: click.Context, store: str | None, as_json: bool) -> None:
    """What was released, what is live, what was live when; put the previous one back."""
    ctx.obj = _store(store)
    ctx.obj.check_format()
    if ctx.invoked_subcommand is None:
        from llmops_core.deployments import released

        _print_rows(released(ctx.obj), as_json, empty="no releases yet")


@releases.command("show")
@click.argument("release", default="latest", shell_complete=completion.releases)
@json_option
@click.pass_obj
def releases_show(store: Store, release: str, as_json: bool) -> None:
    """A release: its model, gates and scores."""
    from llmops_core.deployments import describe

    _print_rows(describe(store, release), as_json)


@releases.command("history")
@click.option("--env", "environment", default=None, help="Only this environment.")
@json_option
@click.pass_obj
def releases_history(store: Store, environment: str | None, as_json: bool) -> None:
    """Every deployment: what was live, from when to when, by which run."""
    from llmops_core.deployments import history

    _print_rows(history(store, environment), as_json)


@releases.command("at")
@click.argument("time")
@click.option("--env", "environment", default=None, help="Only this environment.")
@json_option
@click.pass_obj
def releases_at(store: Store, time: str, environment: str | None, as_json: bool) -> None:
    """What was live at TIME, for instance 2026-11-20T09:00 (UTC unless it says otherwise)."""
    from llmops_core.deployments import live_at

    _print_rows(live_at(store, time, environment), as_json, empty=f"nothing was live at {time}")


@releases.command("rollback")
@environment_option
@click.pass_obj
def releases_rollback(store: Store, environment: str) -> None:
    """Put back what was live before, with the settings it was deployed with."""
    from llmops_core import listing
    from llmops_core.rollback import rollback

    click.echo(listing.run(rollback(store, environment, _plugins(console=True), _secrets())))


@releases.command("stop")
@environment_option
@click.pass_obj
def releases_stop(store: Store, environment: str) -> None:
    """Stop what is live in an environment."""
    from llmops_core.live import stop_environment

    stopped = stop_environment(store, environment, _plugins())
    click.echo(
        f"stopped {stopped.release} in {environment}" if stopped else f"nothing is live in {environment}"
    )


@cli.command()
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

    use = fields.pop("use")
    if api_key:
        fields["api_key"] = f"${{secret:{api_key}}}"
    sys.exit(serve_release(_store(store), release, environment, _plugins(), use, fields))


@cli.group()
@store_option
@click.pass_context
def store(ctx: click.Context, store: str | None) -> None:
    """Look after the store: verify every file, remove what nothing holds."""
    ctx.obj = _store(store)


@store.command("verify")
@json_option
@click.pass_obj
def store_verify(store: Store, as_json: bool) -> None:
    """Hash every file of every artifact anew."""
    from llmops_core import wording

    store.check_format()
    found = dict(store.verify())
    damaged = {digest: wrong for digest, wrong in found.items() if wrong}
    if as_json:
        _print_json({"artifacts": len(found), "damaged": damaged})
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
@click.pass_obj
def store_gc(store: Store, dry_run: bool, everything: bool, as_json: bool) -> None:
    """Remove what no running run, release, deployment, tag or latest run holds."""
    from llmops_core import wording
    from llmops_core.gc import collect

    store.check_format()
    found = collect(store, keep_latest=not everything, dry_run=dry_run)
    if as_json:
        rows = [{"what": one.what, "size": one.size, "path": str(one.path)} for one in found]
        _print_json({"removed": not dry_run, "garbage": rows})
        return
    for garbage in found:
        click.echo(f"  {garbage.what:<10}  {wording.size(garbage.size):>8}  {garbage.path.name}")
    verb = "would free" if dry_run else "freed"
    click.echo(f"{verb} {wording.size(sum(garbage.size for garbage in found))}")


@cli.command()
@json_option
def doctor(as_json: bool) -> None:
    """What is installed, what is missing for which recipe, and the one command that fixes it."""
    from llmops_core.doctor import diagnose

    report = diagnose(_plugins())
    if as_json:
        _print_json(report.document())
    else:
        click.echo(str(report))
    sys.exit(0 if report.healthy else 1)


def main() -> None:
    """The command `llmops`: every error of ours ends in a few lines and its exit status."""
    from llmops_core.secrets import Secrets, redacted_streams

    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    _stop_like_interrupt()
    secrets = Secrets()
    with redacted_streams(secrets):
        sys.exit(_status(arguments, debug, secrets))


def _status(arguments: list[str], debug: bool, secrets: Secrets) -> int:
    """Run a command; gives the exit status it ends with."""
    try:
        status = cli.main(arguments, prog_name="llmops", standalone_mode=False, obj=secrets)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("\ninterrupted; the same command goes on from here", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _failed(error, debug)


def _failed(error: Exception, debug: bool) -> int:
    from llmops_core.errors import LlmopsError, RecipeError

    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, RecipeError):
        from llmops_core import listing

        click.echo(listing.problems(error.recipe, error.problems), err=True)
        return error.exit_status
    if isinstance(error, LlmopsError):
        click.echo(f"{click.style('error', fg='red')}: {error}", err=True)
        return error.exit_status
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"{click.style('error', fg='red')}: {place}{error.strerror}", err=True)
        return 1
    lines = str(error).strip().splitlines() or [""]
    what = f"{type(error).__name__}: {lines[0]}"
    click.echo(f"{click.style('error', fg='red')}: this is a defect of llmops: {what}", err=True)
    click.echo("Run it again with --debug to see the traceback, and report it.", err=True)
    return 1


def _stop_like_interrupt() -> None:
    """A polite kill, or a closed terminal, ends a run the way Ctrl-C does: recorded, and ready to go on."""
    import signal

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, stop)


def _plugins(console: bool = False) -> Plugins:
    from llmops_core.plugins import load

    extra: list[tuple[str, Any]] = []
    if console:
        from llmops_core.console import Console

        extra.append(("console", Console()))
    return load(extra)


def _checked(
    recipe: str | None,
    overrides: Sequence[str],
    from_run: str | None,
    plugins: Plugins,
    *,
    store: str | None = None,
    modules: bool = True,
) -> Recipe:
    from llmops_core.check import check as check_recipe
    from llmops_core.errors import UsageError

    if from_run is not None:
        overrides = [*([recipe] if recipe else []), *overrides]
        recipe = str(_run_record(_store(store), from_run).folder / "recipe.yaml")
    elif recipe is None:
        raise UsageError("which recipe?", remedy="Give a name (llmops show recipes), a path, or --from RUN.")
    if store is not None:
        overrides = [*overrides, f"store={store}"]
    return check_recipe(recipe, overrides, plugins, modules=modules)


def _store_of(recipe: Recipe) -> Store:
    return _store(recipe.settings.store)


def _store(folder: str | None) -> Store:
    from llmops_core.store import Store

    return Store(Path(folder or os.environ.get("LLMOPS_STORE") or ".llmops").expanduser())


def _secrets() -> Secrets:
    """What the streams of this command keep silent about."""
    from llmops_core.secrets import Secrets

    found = click.get_current_context().find_root().obj
    secrets = found if isinstance(found, Secrets) else Secrets()
    secrets.expect_usual()
    return secrets


def _print_run(manifest: Manifest, as_json: bool) -> None:
    if as_json:
        _print_json(manifest.shown())
    else:
        from llmops_core.console import summary

        click.echo(summary(manifest))


def _run_record(store: Store, run: str) -> Manifest:
    from llmops_core.manifest import read_run

    return read_run(store, run)


def _print_json(document: Any) -> None:
    import json

    text = json.dumps(_finite(document), indent=2, ensure_ascii=False)
    # half a surrogate pair cannot be written, and has an escape in JSON
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def _finite(value: Any) -> Any:
    """JSON has no word for a number that is none: null stands for it."""
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        return None
    if isinstance(value, dict):
        return {name: _finite(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(member) for member in value]
    return value


def _print_rows(rows: Sequence[dict[str, Any]], as_json: bool, empty: str = "nothing yet") -> None:
    from llmops_core import listing

    if as_json:
        _print_json(list(rows))
    elif not rows:
        click.echo(empty)
    else:
        shown = [[str(value) for value in row.values()] for row in rows]
        click.echo(listing.columns(shown, ""))


@contextmanager
def _standard_output_kept(active: bool) -> Iterator[None]:
    """Let nothing that runs write to standard output: what is printed there is one JSON document."""
    if not active:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
