"""`llmops data`: the datasets of a store. Light: what a command needs is imported when it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from llmops_core.store import Store

SHOWN = 7
"""Counts of a kind on one line."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")

tokenizer_option = click.option(
    "--tokenizer",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True),
    help="Count lengths in the tokens of this model.  [default: the model's of the run that made it]",
)


class DataCommands(click.Group):
    """A group whose commands say what has to be installed for them."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Raises UsageError when a library is missing."""
        from llmops_core.errors import UsageError

        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            remedy = "Run: pip install 'llmops[data]'"
            raise UsageError(f"this needs {error.name}, which is not installed", remedy=remedy) from error


@click.group(cls=DataCommands)
@click.option(
    "--store", metavar="FOLDER", help="The store to look into.  [default: $LLMOPS_STORE or .llmops]"
)
@click.pass_context
def data(ctx: click.Context, store: str | None) -> None:
    """Datasets: list, show, compare, tag, export them.

    A dataset is named by a tag, by the start of its digest, or by the word latest.
    """
    from llmops_core.store import Store

    ctx.obj = Store(Path(store or os.environ.get("LLMOPS_STORE") or ".llmops").expanduser())
    ctx.obj.check_format()


@data.command("list")
@json_option
@click.pass_obj
def list_command(store: Store, as_json: bool) -> None:
    """Every dataset, the newest first."""
    from llmops_core import listing, wording
    from llmops_data.versions import versions

    found = versions(store)
    if as_json:
        return _print([one.document() for one in found])
    rows = [
        (
            wording.digest(one.digest),
            f"{sum(one.dataset.rows.values()):,} rows",
            one.dataset.shape,
            f"{one.recipe} · {one.step} · run {one.run}" if one.run else "",
            wording.moment(one.made),
            ", ".join(one.tags),
        )
        for one in found
    ]
    click.echo(listing.columns(rows, "") or "no datasets yet")


@data.command()
@click.argument("dataset", default="latest")
@tokenizer_option
@json_option
@click.pass_obj
def show(store: Store, dataset: str, tokenizer: Path | None, as_json: bool) -> None:
    """A dataset: where it comes from, its funnel, its numbers."""
    from llmops_core import listing, wording
    from llmops_data.comparing import plainly
    from llmops_data.lines import every
    from llmops_data.profile import profile
    from llmops_data.tokens import measure
    from llmops_data.versions import version

    found = version(store, dataset)
    numbers = profile(found.dataset, measure(store, found, tokenizer))
    if as_json:
        return _print({**found.document(), **numbers})
    click.echo(f"{found.digest}\n{found.dataset.summary()}")
    parent = wording.digest(found.parent) if found.parent else "none"
    rows = [
        ("made by", f"{found.recipe} · {found.step} · run {found.run}" if found.run else "no run on record"),
        ("parent", parent),
        ("tags", ", ".join(found.tags) or "none"),
        ("shape", found.dataset.shape),
        *_numbers_told(numbers),
    ]
    click.echo(listing.columns(rows))
    steps = [(entry["step"], f"{entry['rows']:>9,}", entry.get("note", "")) for entry in found.dataset.funnel]
    click.echo("\nrows left by each step\n" + listing.columns(steps) if steps else "")
    example = next((line for _, line in every(found.dataset)), b"")
    if example:
        _say(f"\nthe first row\n  {plainly(json.loads(example))}")
    return None


def _numbers_told(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a profile says, a line each."""
    lengths = numbers["lengths"]
    told = [(lengths["unit"], _listed(lengths["quantiles"]["all"]))]
    told.append(("characters", _listed(numbers["characters"]["all"])))
    sampled = numbers["sampled"] < sum(numbers["rows"].values()) and not numbers["languages_of_all"]
    of = f" (of {numbers['sampled']:,} rows)" if sampled else ""
    told.append(("languages", _listed(numbers["languages"]) + of))
    for name, counts in {"sources": numbers["sources"], **numbers["labels"]}.items():
        told.append((name, _listed({value: sum(splits.values()) for value, splits in counts.items()})))
    found = numbers["duplicates"]
    again = f"{found['copies']:,} copies, {found['across_splits']:,} rows in two splits"
    told.append(("duplicates", f"{again}, {numbers['alike']['rows']:,} nearly the same as another"))
    return told


def _listed(counts: Mapping[str, float]) -> str:
    shown = ", ".join(f"{name} {value:,.0f}" for name, value in [*counts.items()][:SHOWN])
    return shown + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


@data.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How many rows of each kind are shown.",
)
@click.option(
    "--key", default="", metavar="FACT", help="The fact that names a row.  [default: id, uuid, key]"
)
@json_option
@click.pass_obj
def diff(store: Store, old: str, new: str, examples: int, key: str, as_json: bool) -> None:  # noqa: PLR0913
    """What differs between two datasets, row by row.

    Rows of one id (facts: [id] in the recipe), or else of one prompt, are compared with each other.
    """
    from llmops_data.comparing import KINDS, difference
    from llmops_data.versions import version

    found = difference(version(store, old).dataset, version(store, new).dataset, examples, key)
    if as_json:
        return _print(found.document())
    for name in KINDS:
        click.echo(f"{getattr(found, name):>9,} {name}")
        for one in found.examples.get(name, ()):
            _example(one)
    return None


def _example(one: Mapping[str, Any]) -> None:
    from llmops_data.comparing import plainly

    place = f"{one['was_at']} -> {one['at']}" if one.get("was_at", one["at"]) != one["at"] else one["at"]
    _say(f"{'':10}{place}" + (f"  {plainly(one['row'])}" if "row" in one else ""))
    for field in one.get("fields", ()):
        _say(f"{'':12}{field['field']}")
        _say(f"{'':14}was  {_shown(field['was'])}\n{'':14}now  {_shown(field['now'])}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value).replace("\n", "⏎")


@data.command()
@click.argument("dataset")
@click.argument("name")
@click.option(
    "--allow",
    multiple=True,
    metavar="LIMIT=NUMBER",
    help="Allow more: duplicates=0.01 lets one row in a hundred be a copy. May be given several times.",
)
@json_option
@click.pass_obj
def tag(store: Store, dataset: str, name: str, allow: tuple[str, ...], as_json: bool) -> None:
    """Move the tag NAME to a dataset, once the dataset passes its audits.

    \b
    Shares of the rows that --allow may set (usually 0):
      empty        rows with an empty text
      nulls        rows that lack a value which other rows have
      duplicates   rows that are copies of another
      leaks        rows that are in two splits
    Against what the tag named before:
      shrinking    the share of its rows that may be gone (0.5)
      lengths      drift of the rows' lengths (0.25)
      words, languages, sources, labels    drift of these (0.2, 0.1, 0.1, 0.1)

    Every row must have the dataset's shape. Plugins add audits; those too are limits, by their names.
    """
    from llmops_core.errors import GateRefused, StoreError
    from llmops_data.auditing import audit, finders, limits_of
    from llmops_data.tags import check_name, move, tagged
    from llmops_data.versions import version

    check_name(name)
    found, before, others = version(store, dataset), tagged(store, name), finders()
    limits = limits_of(_numbers(allow), others)
    try:
        previous = store.open(before.digest) if before else None
    except StoreError as error:
        lost = f"the dataset that {name} names is gone, so nobody can tell how far this one is from it"
        remedy = f"Tag under another name, or remove {store.root / 'tags' / name}.json."
        raise GateRefused(lost, where=str(error), remedy=remedy) from error
    audits = list(audit(found.dataset, previous, limits, others))  # type: ignore[arg-type]  # a Dataset
    documents = [one.document() for one in audits]
    if as_json:
        _print({"digest": found.digest, "tag": name, "audits": documents})
    else:
        for one in audits:
            _say(f"  {'passed' if one.passed else 'FAILED'}  {one.name}: {one.told}")
    failed = [f"{one.name}: {one.told}" for one in audits if not one.passed]
    if failed:
        stays = f"it still names {before.digest[:12]}" if before else "it names nothing yet"
        what = f"the tag {name} was not moved, {stays}. Failed: {'; '.join(failed)}"
        remedy = "Mend the data, or say what is allowed with --allow."
        raise GateRefused(what, where=found.digest[:12], remedy=remedy)
    with store.lock(shared=True):  # gc waits: what is published must be there
        store.open(found.digest)
        move(store, name, found.digest, documents, before.digest if before else "")
    if not as_json:
        click.echo(f"{name} names {found.digest[:12]}")


def _numbers(allow: tuple[str, ...]) -> dict[str, float]:
    from llmops_core.errors import UsageError

    found = {}
    for text in allow:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            remedy = "Write LIMIT=NUMBER: --allow duplicates=0.01."
            raise UsageError(f"{text!r} is no limit", where="--allow", remedy=remedy) from None
    return found


@data.command()
@click.argument("dataset", default="latest")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="[default: DIGEST.html]"
)
@click.option(
    "--against", metavar="DATASET", help="Tell the drift from this one.  [default: the one before it]"
)
@tokenizer_option
@click.pass_obj
def report(
    store: Store, dataset: str, output: Path | None, against: str | None, tokenizer: Path | None
) -> None:
    """Write a page about a dataset, and beside it the same numbers as JSON."""
    from llmops_core.errors import UsageError
    from llmops_core.files import write_json, write_text
    from llmops_data.drifting import drift
    from llmops_data.exploring import rendered
    from llmops_data.profile import profile
    from llmops_data.tokens import measure
    from llmops_data.versions import version

    found = version(store, dataset)
    numbers = profile(found.dataset, measure(store, found, tokenizer))
    try:
        earlier = version(store, against or found.parent) if against or found.parent else None
    except UsageError:
        if against:
            raise
        earlier = None  # gc took the one before it
    before = (earlier, profile(earlier.dataset, alike=False)) if earlier else None
    numbers["drift"] = drift(before[1], numbers) if before else None
    target = output or Path(f"{found.digest[:12]}.html")
    write_text(target, rendered(found, numbers, before))
    write_json(target.with_suffix(".json"), {**found.document(), **numbers})
    click.echo(f"{target}\n{target.with_suffix('.json')}")


@data.command()
@click.argument("dataset")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--format", "form", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True)
@click.pass_obj
def export(store: Store, dataset: str, folder: Path, form: str) -> None:
    """Write the splits of a dataset into FOLDER, with a file that says what they are."""
    from llmops_data.export import exported
    from llmops_data.versions import version

    for path in exported(version(store, dataset), folder, form):
        click.echo(str(path))


def _print(document: Any) -> None:
    _say(json.dumps(document, indent=2, ensure_ascii=False))


def _say(text: str) -> None:
    # a row may hold half a surrogate pair
    click.echo(text.encode("utf-8", "backslashreplace").decode())
