"""Rows out of a source's files; what is broken is counted and quoted, never lost in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_data import chatterbot, jsonl
from llmops_data.config import DialogueData, Source
from llmops_data.entries import Broken, Entry
from llmops_data.rows import Row

USUAL = {"jsonl": ("*.jsonl",), "chatterbot_yaml": ("*.yml", "*.yaml")}
QUOTED = 3
LONGEST_QUOTE = 80


@dataclass(frozen=True)
class Read:
    """All rows of all sources, and how many entries were broken."""

    rows: Sequence[Row]
    broken: int
    sources: int

    @property
    def note(self) -> str:
        """How much was read, for the funnel."""
        told = f"{self.sources} source{'s' if self.sources != 1 else ''}"
        return f"{told}; {self.broken:,} broken left out" if self.broken else told


def sources_of(config: DialogueData) -> Mapping[str, Source]:
    """The sources by name, with `source` last."""
    if config.source is None:
        return config.sources
    return {**config.sources, "source": Source(address=f"file:{config.source}")}


def read_all(config: DialogueData, run: StepRun) -> Read:
    """Fetch and read every source.

    Raises DataError when nothing can be read, or more than the config's share is broken; FetchError.
    """
    sources = sources_of(config)
    rows: list[Row] = []
    broken: list[Broken] = []
    for name, source in sources.items():
        path = run.fetch(source.address, source.sha256, token=source.token)
        for found in read_source(name, source, path):
            broken.append(found) if isinstance(found, Broken) else rows.append(found)
    if broken:
        _tell(config, run, len(rows) + len(broken), broken)
    if not rows:
        where = ", ".join(source.address for source in sources.values())
        raise DataError("there is not one row in it", where=where, remedy="Check the address and the format.")
    return Read(rows, len(broken), len(sources))


def read_source(name: str, source: Source, path: Path) -> Iterator[Row | Broken]:
    """Each row of a source, and each entry that is none, in the order of file names and lines."""
    for title, file in files_of(name, source, path):
        for entry in _entries(source, file, title):
            yield entry if isinstance(entry, Broken) else Row(entry.origin, entry.messages)


def files_of(name: str, source: Source, path: Path) -> Sequence[tuple[str, Path]]:
    """A source's files, each with a title that does not depend on where it lies."""
    if path.is_file():
        return [(name, path)]
    wanted = source.include or USUAL[source.format]
    names = sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
    kept = [
        one
        for one in names
        if any(fnmatchcase(one, pattern) for pattern in wanted)
        and not any(fnmatchcase(one, pattern) for pattern in source.exclude)
    ]
    if not kept:
        held = ", ".join(names[:5]) or "nothing"
        patterns = ", ".join(wanted)
        raise DataError(
            f"no file in it matches {patterns}", where=source.address, remedy=f"It holds {held}; set include."
        )
    return [(f"{name}/{one}", path / one) for one in kept]


def _entries(source: Source, file: Path, title: str) -> Iterator[Entry | Broken]:
    if source.format == "chatterbot_yaml":
        return chatterbot.read(file, title, alternatives=source.turns == "alternatives")
    return jsonl.read(file, title)


def _tell(config: DialogueData, run: StepRun, count: int, broken: Sequence[Broken]) -> None:
    """Warn of broken entries, quoting the first; DataError when they are too many."""
    quoted = "; ".join(
        f"{one.origin}: {one.why}" + (f": {_short(one.quote)}" if one.quote else "")
        for one in broken[:QUOTED]
    )
    more = f"; and {len(broken) - QUOTED:,} more" if len(broken) > QUOTED else ""
    are = "is" if len(broken) == 1 else "are"
    text = f"{len(broken):,} of {count:,} rows {are} broken and left out: {quoted}{more}"
    if len(broken) > config.max_broken_share * count:
        raise DataError(
            f"{text}. This is {len(broken) / count:.1%}, and {config.max_broken_share:.1%} is allowed",
            remedy="Mend them, or raise max_broken_share.",
        )
    run.warn(text)


def _short(quote: str) -> str:
    line = quote.strip().replace("\n", " ")
    return repr(line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 3] + "...")
