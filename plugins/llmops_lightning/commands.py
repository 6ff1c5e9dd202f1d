"""`llmops show batch` and `llmops show fit`: a training, looked at beforehand. Light until one runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

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

if TYPE_CHECKING:
    from llmops_core.config import Recipe, Step
    from llmops_core.events import Event
    from llmops_core.preview import Preview

step_option = click.option("--step", metavar="NAME", help="Which training, where the recipe has several.")


@click.command("batch")
@recipe_argument
@overrides_argument
@click.option(
    "--count", default=4, show_default=True, type=click.IntRange(min=1), help="How many examples are shown."
)
@step_option
@store_option
@json_option
def batch(recipe: str, overrides: tuple[str, ...], count: int, as_json: bool, **options: Any) -> None:
    """The first examples a training would see, with what is learned marked ⟦like this⟧.

    Makes the data and the model that the training needs, or takes them from the store. Trains nothing.
    """
    with _training(recipe, overrides, options, quiet=as_json) as found:
        from llmops_lightning.show_batch import show_batch

        shown = show_batch(found.step.config, found.run, **found.inputs, count=count)  # type: ignore[arg-type]
        if as_json:
            from llmops_core.commands.printing import print_json

            print_json(shown.document())
            return
        from rich.console import Console

        terminal = Console(highlight=False, soft_wrap=True)
        for text in shown.texts():
            terminal.print(text)


@click.command("fit")
@recipe_argument
@overrides_argument
@click.option(
    "--memory",
    type=click.FloatRange(min=0.1),
    metavar="GB",
    help="How much a process may hold.  [default: nine tenths of what is free now; all of an accelerator]",
)
@step_option
@store_option
@json_option
def fit(recipe: str, overrides: tuple[str, ...], memory: float | None, as_json: bool, **options: Any) -> None:
    """The largest micro-batch that fits into memory, found by trying, and which is fastest.

    Each size is tried in a process of its own: two optimizer steps on copies of the longest row. All see the
    same rows in an optimizer step as the recipe, so any of them may be taken.
    """
    with _training(recipe, overrides, options, quiet=as_json) as found:
        from llmops_lightning import fit_memory
        from llmops_lightning.trial import tried

        trial = fit_memory.trial_of(found, memory)
        if not as_json:
            click.echo("  ".join(fit_memory.TITLES))

        def tell(size: fit_memory.Size) -> None:
            if not as_json:
                click.echo("  ".join(size.cells()))

        sizes = fit_memory.fitting(trial, tried, tell)
        told = fit_memory.verdict(sizes, trial)
        if as_json:
            from llmops_core.commands.printing import print_json

            print_json({"tried": [vars(size) for size in sizes], **told})
        else:
            for name, override in told.items():
                click.echo(f"{name}: {override}")


@contextmanager
def _training(
    recipe: str, overrides: Sequence[str], options: dict[str, Any], *, quiet: bool
) -> Iterator[Preview]:
    """The training of a recipe with its inputs at hand. Raises LlmopsError."""
    from llmops_core.commands.printing import standard_output_kept
    from llmops_core.preview import Previewing, preview

    plugins = loaded_plugins(console=not quiet)
    checked = checked_recipe(recipe, overrides, None, plugins, store=options["store"], modules=False)
    step = training_step(checked, options["step"])
    how = Previewing(plugins, store_of(checked), command_secrets(), _tell)
    with ExitStack() as stack:
        with standard_output_kept(quiet):
            found = stack.enter_context(preview(checked, step, how))
        yield found


def training_step(recipe: Recipe, name: str | None) -> Step:
    """The training that is asked for, or the only one. Raises UsageError."""
    from llmops_core.errors import UsageError
    from llmops_lightning.config import LightningTrain

    found = {step.name: step for step in recipe.steps if isinstance(step.config, LightningTrain)}
    if name is not None and name not in found:
        known = f"There are: {', '.join(found)}." if found else "Add one: train=lightning."
        raise UsageError(f"{recipe.name} has no training called {name}", remedy=known)
    if not found:
        other = any(step.stage == "train" for step in recipe.steps)
        what = "trains with another implementation than lightning" if other else "trains nothing"
        raise UsageError(f"{recipe.name} {what}", remedy="Add a training: train=lightning.")
    if name is None and len(found) > 1:
        raise UsageError(
            f"{recipe.name} has several trainings: {', '.join(found)}",
            remedy=f"Say --step {next(iter(found))}.",
        )
    return found[name] if name is not None else next(iter(found.values()))


def _tell(event: Event) -> None:
    """What a step says goes to standard error; its progress is not of interest."""
    from llmops_core.events import Log

    if isinstance(event, Log):
        click.echo(f"warning: {event.text}" if event.level == "warning" else event.text, err=True)
