"""Values out of JSON that may lack them: an interrupted run leaves a record with holes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST = 1e100
"""Beyond it, sums of numbers would overflow."""


def text(record: Mapping[str, Any], key: str) -> str:
    """A text, or "" where there is none; numbers are written out."""
    value = record.get(key)
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def number(record: Mapping[str, Any], key: str) -> float | None:
    """A finite number (at most LARGEST), or None."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Not-a-number compares as false; an integer too large for a float is compared as it is.
    return float(value) if abs(value) <= LARGEST else None


def mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping, or an empty one."""
    value = record.get(key)
    return value if isinstance(value, Mapping) else {}


def entries(record: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    """The mappings of a list."""
    return [entry for entry in _listed(record, key) if isinstance(entry, Mapping)]


def texts(record: Mapping[str, Any], key: str) -> Sequence[str]:
    """The texts of a list."""
    return [entry for entry in _listed(record, key) if isinstance(entry, str)]


def _listed(record: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = record.get(key)
    return value if isinstance(value, list | tuple) else ()


@dataclass(frozen=True)
class Lines:
    """The rows of a JSONL file. `trouble` tells a person what could not be read, or is empty."""

    rows: Sequence[Mapping[str, Any]]
    trouble: str = ""


def json_lines(path: Path) -> Lines:
    """The objects of a JSONL file; lines that hold none are counted in `trouble`."""
    rows: list[Mapping[str, Any]] = []
    broken = 0
    try:
        for row in _parsed(path):
            if row is None:
                broken += 1
            else:
                rows.append(row)
    except OSError as error:
        return Lines(rows, f"{path.name} could not be read: {error.strerror or error}.")
    return Lines(
        rows,
        f"{path.name}: {broken} {'line' if broken == 1 else 'lines'} could not be read." if broken else "",
    )


def _parsed(path: Path) -> Iterator[Mapping[str, Any] | None]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield row if isinstance(row, Mapping) else None
