"""What can be seen of a recipe's sources before anything is read. Light: read when it is checked."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

from llmops_core.address import parse
from llmops_core.errors import Problem
from llmops_data.config import DialogueData, Source

STORES: Mapping[str, tuple[str, str]] = {
    "s3": ("s3fs", "llmops[s3]"),
    "s3a": ("s3fs", "llmops[s3]"),
    "gs": ("gcsfs", "gcsfs"),
    "gcs": ("gcsfs", "gcsfs"),
    "az": ("adlfs", "adlfs"),
    "abfs": ("adlfs", "adlfs"),
    "lakefs": ("lakefs_spec", "lakefs-spec"),
}
"""Scheme -> the module that opens it, and what to install for it."""
TEXTUAL = ("detect", "jsonl", "csv", "tsv", "text", "markdown", "html", "chatterbot_yaml")
BINARY = (".parquet", ".pdf", ".db", ".sqlite", ".sqlite3", ".gz", ".bz2", ".xz", ".lzma")
LOOKED_AT = 4096
"""Bytes of a file's beginning."""


def problems(config: DialogueData, name: str) -> Iterator[Problem]:
    """What cannot be opened on this machine; `name` is the step's."""
    for label, source in sources_in(config, name):
        scheme = source.address.partition(":")[0].lower()
        module, package = STORES.get(scheme, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            what = f"{scheme}:// needs {module}, not installed here"
            yield Problem(f"{label}.address", what, f"Run: pip install '{package}'")
        if scheme == "file":
            yield from _unreadable(f"{label}.address", source, parse(source.address).local)
    if config.source is not None:
        whole = Source(address=f"file:{config.source}")
        yield from _unreadable(f"{name}.source", whole, Path(config.source).expanduser())


def _unreadable(where: str, source: Source, path: Path) -> Iterator[Problem]:
    """Why a local file can hold no row, where its size and its beginning tell."""
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            opens = file.read(LOOKED_AT)
    except OSError as error:
        yield Problem(where, f"{path} cannot be read: {error.strerror}", "Look at its permissions.")
        return
    textual = source.format in TEXTUAL and path.suffix.lower() not in BINARY
    if not opens:
        yield Problem(where, f"{path} is empty", "Name a file that holds rows.")
    elif textual and b"\0" in opens and source.encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        remedy = "Say what it is: format, or encoding."
        yield Problem(where, f"{path} holds bytes that are no text", remedy)


def sources_in(config: DialogueData, name: str) -> Iterator[tuple[str, Source]]:
    """Every source with its place in the recipe, those of steps too."""
    for key, source in config.sources.items():
        yield f"{name}.sources.{key}", source
    for step, part in config.steps.items():
        for key, source in getattr(part.config, "against", {}).items():
            yield f"{name}.steps.{step}.against.{key}", source
