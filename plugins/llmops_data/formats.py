"""Which reader takes which file, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llmops_data import arrays, chatterbot, documents, jsonl, tables
from llmops_data.config import Source
from llmops_data.entries import Broken, Entry, Record
from llmops_data.opening import bare, opened

ENDINGS: Mapping[str, Sequence[str]] = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet",),
    "text": (".txt",),
    "markdown": (".md", ".markdown"),
    "html": (".html", ".htm"),
    "pdf": (".pdf",),
    "sql": (".db", ".sqlite", ".sqlite3"),
    "chatterbot_yaml": (".yml", ".yaml"),
}
DETECTED = tuple(name for name in ENDINGS if name != "chatterbot_yaml")
"""A YAML file says too little of itself to be taken for a corpus of dialogues."""


def format_of(name: str) -> str:
    """The format that a file's ending tells; "" when it tells none."""
    ending = Path(bare(name)).suffix.lower()
    return next((one for one in DETECTED if ending in ENDINGS[one]), "")


def usual(form: str) -> tuple[str, ...]:
    """The patterns of a format's files, compressed or not."""
    endings = ENDINGS[form]
    return tuple(f"*{ending}" for ending in endings) + tuple(f"*{ending}.*" for ending in endings)


def read(source: Source, form: str, file: Path, title: str) -> Iterator[Record | Entry | Broken]:
    """Everything in one file. Raises DataError when it cannot be read at all."""
    if form == "chatterbot_yaml":
        yield from chatterbot.read(file, title, alternatives=source.turns == "alternatives")
    elif form == "parquet":
        yield from tables.read_parquet(file, title)
    elif form == "pdf":
        yield from documents.read_pdf(file, title)
    elif form == "sql":
        yield from tables.read_database(f"sqlite:///{file}", source.query, title)
    else:
        with opened(file, title) as content:
            if form == "jsonl":
                yield from jsonl.read(content, title, source.encoding)
            elif form == "json":
                yield from arrays.read(content, title, source.encoding)
            elif form in ("csv", "tsv"):
                separator = source.separator or ("\t" if form == "tsv" else ",")
                yield from tables.read_separated(content, title, source.encoding, separator)
            else:
                yield from documents.read_text(content, title, source.encoding, form)
