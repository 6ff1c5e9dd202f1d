"""Rows out of sources; what is broken is counted and quoted, never lost in silence."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from llmops_core.cache import Cache
from llmops_core.content import file_digest, file_sizes
from llmops_core.errors import DataError
from llmops_core.keys import code_digest, content
from llmops_core.keys import digest as digest_of
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_data import formats, shapes, tables
from llmops_data.complaints import Complaints, told
from llmops_data.config import DialogueData, Source
from llmops_data.entries import Broken, Entry, Record
from llmops_data.rows import Row
from llmops_data.shapes import FITS_NONE
from llmops_data.stored import RowsWriter, StoredRows

ROWS = "rows.arrow"
ABOUT = re.compile(r"\.|readme|licen[cs]e|notice|changelog|dataset_infos", re.IGNORECASE)
"""What a folder of data says of itself is not data, unless it is included or nothing else is there."""
ROOM = 2
"""Rows on disk take about as much as their files, and the result as much again."""


@dataclass(frozen=True)
class Found:
    """One source's rows on disk, and what was broken in it."""

    name: str
    rows: StoredRows
    digest: str
    complaints: Complaints
    shapes: Mapping[str, int]

    @property
    def broken(self) -> Mapping[str, int]:
        """File -> how many of its entries."""
        return self.complaints.files


def sources_of(config: DialogueData) -> Mapping[str, Source]:
    """The sources by name, with `source` last."""
    if config.source is None:
        return config.sources
    return {**config.sources, "source": Source(address=f"file:{config.source}")}


def read_sources(config: DialogueData, run: StepRun) -> list[Found]:
    """Fetch and read every source, or take up what was read of the same content before.

    Raises DataError when nothing can be read, or more than the config's share is broken; FetchError.
    """
    found = [_source(config, run, name, source) for name, source in sources_of(config).items()]
    count = sum(len(one.rows) for one in found)
    broken = sum(one.complaints.count for one in found)
    if broken:
        _tell(config, run, count + broken, found)
    _tell_lost(config, run, found)
    if not count:
        where = ", ".join(source.address for source in sources_of(config).values())
        raise DataError("there is not one row in it", where=where, remedy="Check the address and the format.")
    return found


def _source(config: DialogueData, run: StepRun, name: str, source: Source) -> Found:
    if source.is_database:
        return _database(config, run, name, source)
    path = run.fetch(
        source.address,
        source.sha256,
        token=source.token,
        options=source.options,
        secrets=source.secrets,
    )
    elsewhere = ("address", "sha256", "weight")  # where it lies does not change what it says
    document = {
        "source": {key: value for key, value in content(source, str).items() if key not in elsewhere},
        "ending": formats.format_of(path.name) if path.is_file() else "",
        "name": name,
        "shape": config.shape,
        "data": Store(run.state).path_digest(str(path)),
        "code": code_digest(__name__),
    }

    def make(folder: Path) -> Mapping[str, Any]:
        before = _stamps(path)
        _make_sure_of_room(path, folder, source)
        kept = _write(config, source, _file_entries(name, source, path), folder)
        if _stamps(path) != before:
            raise DataError(
                "it changed while it was read", where=source.address, remedy="Run again once it is written."
            )
        return kept

    entry = Cache(run.state, "data").entry(document, make)
    return _found(name, entry.folder, entry.facts, digest_of(document))


def _database(config: DialogueData, run: StepRun, name: str, source: Source) -> Found:
    """What a database answers now; `sha256` says what it must be, since nothing else tells."""
    folder = Store(run.state).temporary("data") / "files"
    try:
        password = run.secret(source.token) if source.token else ""
        entries = tables.read_database(source.address, source.query, name, password)
        facts = _write(config, source, ((name, one) for one in entries), folder)
        got = file_digest(folder / ROWS)
        if got != source.sha256:
            what = (
                f"its rows are others than before (sha256 {source.sha256})" if source.sha256 else "no sha256"
            )
            remedy = f"If they are what you want, write sha256: {got}"
            raise DataError(f"{what} says what the database should answer", where=name, remedy=remedy)
        return _found(name, folder, facts, got)
    finally:
        shutil.rmtree(folder.parent.parent, ignore_errors=True)


def _found(name: str, folder: Path, facts: Mapping[str, Any], digest: str) -> Found:
    return Found(name, StoredRows(folder / ROWS), digest, Complaints.of(facts["broken"]), facts["shapes"])


def _stamps(path: Path) -> Mapping[str, tuple[int, int]]:
    names = file_sizes(path) if path.is_dir() else [""]
    found = {name: (path / name).stat() for name in names}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def _make_sure_of_room(path: Path, folder: Path, source: Source) -> None:
    size = sum(size for size, _ in _stamps(path).values())
    free = shutil.disk_usage(folder).free
    if size * ROOM > free:
        raise DataError(
            f"its rows need about {size * ROOM / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free",
            where=source.address,
            remedy="Free some space (llmops store gc), or choose a store on another disk.",
        )


def _write(
    config: DialogueData, source: Source, entries: Iterator[tuple[str, Record | Entry | Broken]], folder: Path
) -> Mapping[str, Any]:
    """Write the rows among what was read; gives what else is to be known of it."""
    complaints = Complaints()
    kinds: Counter[str] = Counter()
    with RowsWriter(folder / ROWS) as rows:
        for title, one in entries:
            if isinstance(one, Record):
                renamed = _renamed(one, source)
                one = shapes.entry(renamed, source.shape, config.shape, source.keep)
            if isinstance(one, Broken):
                complaints.add(title, one)
            else:
                kinds[one.shape] += 1
                rows.add(Row(one.origin, one.messages, one.facts))
    return {"broken": complaints.document(), "shapes": dict(kinds)}


def _renamed(record: Record, source: Source) -> Record:
    """The record with the source's own names for keys put in the place of a shape's."""
    if not source.columns or not isinstance(record.values, Mapping):
        return record
    values = dict(record.values)
    for wanted, own in source.columns.items():
        if own in values:
            values[wanted] = values.pop(own)
    return dataclasses.replace(record, values=values)


def _file_entries(name: str, source: Source, path: Path) -> Iterator[tuple[str, Record | Entry | Broken]]:
    """Each entry of a source with its file's title, in the order of file names and lines."""
    for title, file, form in files_of(name, source, path):
        for one in formats.read(source, form, file, title):
            yield title, one


def files_of(name: str, source: Source, path: Path) -> Sequence[tuple[str, Path, str]]:
    """A source's files, each with a title that does not depend on where it lies, and its format.

    Raises DataError when no file fits, or files of several formats do and none was said.
    """
    said = source.format if source.format != "detect" else ""
    if path.is_file():
        return [(name, path, said or formats.format_of(path.name) or "jsonl")]
    names = sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
    if not said and not source.include:
        names = [one for one in names if not ABOUT.match(one.rpartition("/")[2])] or names
    patterns = source.include or (formats.usual(said) if said else ("*",))
    kept = [
        one
        for one in names
        if any(fnmatchcase(one, pattern) for pattern in patterns)
        and not any(fnmatchcase(one, pattern) for pattern in source.exclude)
    ]
    forms = {one: said or formats.format_of(one) for one in kept}
    known = sorted({form for form in forms.values() if form})
    if not known:
        held = ", ".join(names[:5]) or "nothing"
        told = ", ".join(patterns) if patterns != ("*",) else "a known format"
        remedy = f"It holds {held}; set format or include."
        raise DataError(f"no file in it matches {told}", where=source.address, remedy=remedy)
    if len(known) > 1:
        what = f"it holds files of several formats ({', '.join(known)})"
        raise DataError(what, where=source.address, remedy="Say which: set format, or include.")
    unknown = [one for one, form in forms.items() if not form]
    if unknown and source.include:
        remedy = f"Set format: {known[0]}, or include less."
        raise DataError(f"the format of {unknown[0]} is not known", where=source.address, remedy=remedy)
    return [(f"{name}/{one}", path / one, form) for one, form in forms.items() if form]


def _tell(config: DialogueData, run: StepRun, count: int, found: Sequence[Found]) -> None:
    """Warn of broken entries, by reason and by file; DataError when they are too many."""
    complaints = [one.complaints for one in found]
    broken = sum(one.count for one in complaints)
    are = "is" if broken == 1 else "are"
    share, why = f"{broken:,} of {count:,} rows {are} broken", told(complaints)
    if broken > config.max_broken_share * count:
        fitting = any(FITS_NONE in why for one in complaints for why in one.reasons)
        columns = (
            f"Say which keys are which: sources.NAME.columns. Known: {shapes.KNOWN}. " if fitting else ""
        )
        raise DataError(
            f"{share}: {why}. This is {broken / count:.1%}, and {config.max_broken_share:.1%} is allowed",
            remedy=f"{columns}Mend them, or raise {run.step}.max_broken_share.",
        )
    run.warn(f"{share} and left out: {why}")


def _tell_lost(config: DialogueData, run: StepRun, found: Sequence[Found]) -> None:
    """Say what of the rows the dataset's shape has no place for."""
    pairs = sum(one.shapes.get("preference", 0) for one in found)
    if pairs and config.shape != "preference":
        kept = "set shape: preference to keep them"
        run.log(f"the rejected answers of {pairs:,} preference pairs are left out: {kept}")
