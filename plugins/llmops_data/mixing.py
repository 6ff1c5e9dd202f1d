"""Mixes sources by weight: the scarcest gives all it has, the others as much as their weights allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from llmops_core.cache import Cache
from llmops_core.keys import digest as digest_of
from llmops_core.step import StepRun
from llmops_data.config import DialogueData
from llmops_data.pipeline import ROWS, Passed
from llmops_data.reading import Found, sources_of
from llmops_data.rows import Row
from llmops_data.splitting import chance
from llmops_data.stored import RowsWriter, StoredRows


def mixed(config: DialogueData, run: StepRun, found: Sequence[Found]) -> Passed:
    """All sources' rows, one source after another, in the shares that their weights say."""
    shares = wanted({name: source.weight for name, source in sources_of(config).items()}, found)
    document = {"mixed": [[one.digest, shares[one.name]] for one in found]}
    note, counts = _note(found, shares), _counts(found, shares)
    if len(found) == 1:
        return Passed("read", found[0].rows, digest_of(document), note, counts)

    def make(folder: Path) -> Mapping[str, Any]:
        with RowsWriter(folder / ROWS) as writer:
            for one in found:
                for row in _chosen(one, shares[one.name]):
                    writer.add(row)
        return {}

    entry = Cache(run.state, "data").entry(document, make)
    return Passed("read", StoredRows(entry.folder / ROWS), digest_of(document), note, counts)


def wanted(weights: Mapping[str, float | None], found: Sequence[Found]) -> Mapping[str, int]:
    """How many rows each source gives. One without a weight gives all it has."""
    rows = {one.name: len(one.rows) for one in found}
    weighed = {name: weight for name, weight in weights.items() if weight is not None}
    scarcest = min((rows[name] / weight for name, weight in weighed.items()), default=0.0)
    return {
        name: min(count, round(weighed[name] * scarcest)) if name in weighed else count
        for name, count in rows.items()
    }


def _chosen(one: Found, count: int) -> Iterator[Row]:
    """So many of a source's rows, chosen by hash, so that the same ones are chosen among more."""
    if count == len(one.rows):
        yield from one.rows
        return
    chances = np.fromiter((chance(f"mix {row.origin}") for row in one.rows), float, len(one.rows))
    kept = np.zeros(len(one.rows), bool)
    kept[np.argsort(chances, kind="stable")[:count]] = True
    yield from compress(one.rows, kept)


def _note(found: Sequence[Found], shares: Mapping[str, int]) -> str:
    """How much was read, and what it was taken for."""
    kinds: dict[str, int] = {}
    for one in found:
        for shape, count in one.shapes.items():
            kinds[shape] = kinds.get(shape, 0) + count
    broken = sum(sum(one.broken.values()) for one in found)
    over = sum(len(one.rows) - shares[one.name] for one in found)
    told = [f"{len(found)} source{'s' if len(found) != 1 else ''}"]
    if set(kinds) - {"messages"}:
        told.append("read as " + ", ".join(f"{shape} ({count:,})" for shape, count in sorted(kinds.items())))
    told.append(f"{broken:,} broken left out" if broken else "")
    told.append(f"{over:,} over their source's weight left out" if over else "")
    return "; ".join(filter(None, told))


def _counts(found: Sequence[Found], shares: Mapping[str, int]) -> Mapping[str, int]:
    return {f"from {one.name}": shares[one.name] for one in found}
