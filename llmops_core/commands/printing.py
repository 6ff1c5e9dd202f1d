"""How commands print: rows, JSON, what came of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from llmops_core.manifest import Manifest


def print_run(manifest: Manifest, as_json: bool) -> None:
    """What came of a run."""
    if as_json:
        print_json(manifest.shown())
    else:
        from llmops_core.console import summary

        click.echo(summary(manifest))


def print_json(document: Any) -> None:
    """A JSON document."""
    import json

    from llmops_core.files import finite

    text = json.dumps(finite(document), indent=2, ensure_ascii=False)
    # half a surrogate pair cannot be written, and has an escape in JSON
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def print_rows(rows: Sequence[dict[str, Any]], as_json: bool, empty: str = "nothing yet") -> None:
    """Rows as aligned columns, or as JSON."""
    from llmops_core import listing

    if as_json:
        print_json(list(rows))
    elif not rows:
        click.echo(empty)
    else:
        shown = [[str(value) for value in row.values()] for row in rows]
        click.echo(listing.columns(shown, ""))


@contextmanager
def standard_output_kept(active: bool) -> Iterator[None]:
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
