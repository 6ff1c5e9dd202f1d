"""The commands, thin: each imports what it needs when it runs, so that `llmops --help` stays quick."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from llmops_core import __version__
from llmops_core.commands import plugins, recipes, releases, runs
from llmops_core.commands.groups import Commands

if TYPE_CHECKING:
    from llmops_core.secrets import Secrets

INTERRUPTED = 130
COMPLETING = "_LLMOPS_COMPLETE"
"""The variable with which a shell asks for completion."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="llmops")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """One recipe takes an LLM from data to a gated, released, served model.

    RECIPE is a bundled name or a path to a YAML file. Overrides are written like train.lr=1e-4,
    model=local, +x=y or ~train.
    """


for command in (
    recipes.run,
    recipes.plan,
    recipes.check,
    recipes.show,
    runs.runs,
    releases.releases,
    releases.serve,
    runs.store,
    plugins.plugins_command,
    plugins.plugin_group,
    plugins.doctor,
):
    cli.add_command(command)


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
    if COMPLETING in os.environ:
        from click.shell_completion import add_completion_class

        from llmops_core.bash_completion import Bash

        add_completion_class(Bash)
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
