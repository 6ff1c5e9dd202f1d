"""`llmops privacy`: keys for pseudonyms, and what pseudonyms stand for. Light: imports wait for a command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click


@click.group()
def privacy() -> None:
    """Pseudonyms: make a key, tell what one stands for."""


@privacy.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def key(file: Path) -> None:
    """Make a key for pseudonyms in FILE, which only you can read, and tell its fingerprint.

    Keep it apart from the data: who has both can tell whom each pseudonym stands for.
    """
    import secrets

    from llmops_core.errors import UsageError
    from llmops_privacy.pseudonyms import key_of

    text = secrets.token_urlsafe(32)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text + "\n")
    except FileExistsError as error:
        remedy = "Take another name; a key that is gone cannot be made again."
        raise UsageError("there is a file of that name", where=str(file), remedy=remedy) from error
    except OSError as error:
        raise UsageError(f"it cannot be written: {error.strerror}", where=str(file)) from error
    click.echo(f"fingerprint: {key_of(text, str(file)).fingerprint}")
    click.echo(f'use it:      export PSEUDONYM_KEY="$(cat {file})"', err=True)


@privacy.command()
@click.argument("pseudonyms", nargs=-1, required=True)
@click.option(
    "--key",
    "name",
    default="PSEUDONYM_KEY",
    show_default=True,
    help="The environment variable that holds the key.",
)
@click.option(
    "--store", metavar="FOLDER", help="The store to look into.  [default: $LLMOPS_STORE or .llmops]"
)
def reveal(pseudonyms: Sequence[str], name: str, store: str | None) -> None:
    """Tell what PSEUDONYMS stand for, a line for each spelling. The key has to be the one that made them."""
    from llmops_core.errors import UsageError
    from llmops_core.secrets import Secrets
    from llmops_privacy.pseudonyms import key_of
    from llmops_privacy.vault import opened

    state = Path(store or os.environ.get("LLMOPS_STORE") or ".llmops").expanduser()
    vault = opened(state, key_of(Secrets().read(name), name))
    found = {one: vault.spellings(one) for one in pseudonyms}
    for pseudonym, spellings in found.items():
        for said in spellings:
            click.echo(f"{pseudonym}\t{said}")
    if unknown := [one for one, spellings in found.items() if not spellings]:
        raise UsageError(f"nothing is kept of {', '.join(unknown)}", where=str(vault.path))
