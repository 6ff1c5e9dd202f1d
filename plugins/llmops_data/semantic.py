"""Finds rows that mean nearly the same: embeddings propose and decide, by the cosine of their angle.

Up to `exact_rows` every row is compared with all before it; above, an index proposes the nearest ones, and
the cosine decides. Vectors lie on disk, and are kept by text: rows added later embed only themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from usearch.index import Index

from llmops_core.keys import code_digest
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_data.compared import compared
from llmops_data.config import Semantic
from llmops_data.embedding import Embedder
from llmops_data.linking import Alike, left, together
from llmops_data.rows import Outcome, Row
from llmops_data.vectors import Rows, Vectors, embedded, kept_vectors

BLOCK = 512
"""Rows compared at once, with WIDE others."""
WIDE = 4096
NEIGHBOURS = 32
"""Of what a row resembles so many are told."""
ROUNDING = 1e-6
"""By how much the cosine of two equal vectors may miss 1."""
UNSURE = 0.01
"""By how much the index's cosines, of shorter numbers, may be off."""

Hits = tuple[NDArray[np.int64], NDArray[np.int64], Vectors]
"""The rows of a block (from 0), the earlier rows that they resemble, and how much; in that order."""


def semantic(config: Semantic, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Drop each row that means nearly what an earlier one that stayed does, or tell which belong together.

    Raises DataError when the model cannot be used; FetchError.
    """
    folder = run.fetch(config.model, config.sha256)
    embed = Embedder(folder, config.max_tokens, config.batch)
    document = {
        "model": Store(run.state).path_digest(str(folder)),
        "max_tokens": config.max_tokens,
        "batch": config.batch,
        "code": code_digest(__name__),
        "device": embed.device,
        "libraries": [version("torch"), version("transformers")],
    }
    texts = map(compared(rows, config.compare), rows)
    what = f"rows that mean nearly the same{'' if config.compare == 'row' else ' by their prompts'}"
    with Rows(run.scratch, embed.width) as vectors:
        with kept_vectors(run.state, document) as kept:
            for done in embedded(texts, vectors, embed, kept):
                run.progress(done, len(rows))
        return (left if config.action == "drop" else together)(pairs(vectors, config), rows, run, what)


def pairs(vectors: Rows, config: Semantic) -> Iterator[Alike]:
    """Each pair of rows at the threshold or above, in the order of the second and then of the first."""
    find = everywhere(vectors) if len(vectors) <= config.exact_rows else indexed(vectors)
    for start in range(0, len(vectors), BLOCK):
        block = vectors.read(start, min(start + BLOCK, len(vectors)))
        seconds, firsts, cosines = find(start, block, config.threshold - ROUNDING)
        for second, first, cosine in zip(
            (seconds + start).tolist(), firsts.tolist(), cosines.tolist(), strict=True
        ):
            # 1.0 is what is the same in all: the same vector, not one so near that it rounds to it
            same = cosine > 0.99995 and np.array_equal(
                block[second - start], vectors.read(first, first + 1)[0]
            )
            yield first, second, 1.0 if same else min(cosine, 0.9999)


Find = Callable[[int, Vectors, float], Hits]


def everywhere(vectors: Rows) -> Find:
    """Compares a block with every row before each of its rows."""

    def find(start: int, block: Vectors, threshold: float) -> Hits:
        end, found = start + len(block), []
        told = np.zeros(len(block), np.int64)
        for other in range(0, end, WIDE):
            hits = _above(block @ vectors.read(other, min(other + WIDE, end)).T, start - other, threshold)
            few = _rank(hits[0]) + told[hits[0]] < NEIGHBOURS
            found.append((hits[0][few], hits[1][few] + other, hits[2][few]))
            told += np.bincount(found[-1][0], minlength=len(block))
        return _in_order(found)

    return find


def indexed(vectors: Rows) -> Find:
    """Compares a block with itself, and with what an index of all before it says is nearest."""
    index = Index(ndim=vectors.width, metric="cos", dtype="f16")

    def find(start: int, block: Vectors, threshold: float) -> Hits:
        here = _above(block @ block.T, 0, threshold)
        found = [(here[0], here[1] + start, here[2])]
        if start:
            near = index.search(block, NEIGHBOURS, threads=1)
            close = np.argwhere(1 - near.distances >= threshold - UNSURE)
            seconds = close[:, 0]
            firsts = near.keys[close[:, 0], close[:, 1]].astype(np.int64)
            known = [vectors.read(first, first + 1)[0] for first in firsts.tolist()]
            others = np.array(known, np.float32).reshape(-1, vectors.width)
            cosines = np.einsum("ij,ij->i", block[seconds], others)
            true = cosines >= threshold
            found.append((seconds[true], firsts[true], cosines[true]))
        # one after another: with threads the graph depends on who comes first
        index.add(np.arange(start, start + len(block)), block, threads=1)
        seconds, firsts, cosines = _in_order(found)
        few = _rank(seconds) < NEIGHBOURS
        return seconds[few], firsts[few], cosines[few]

    return find


def _above(cosines: Vectors, ahead: int, threshold: float) -> Hits:
    """Where a block's cosines reach the threshold, of pairs whose second row is the later one."""
    rows, columns = np.nonzero(cosines >= threshold)
    earlier = columns < rows + ahead
    rows, columns = rows[earlier], columns[earlier]
    return rows, columns, cosines[rows, columns]


def _rank(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the same second stand before each, where they are in order."""
    return np.arange(len(seconds)) - np.searchsorted(seconds, seconds)


def _in_order(found: Sequence[Hits]) -> Hits:
    seconds, firsts, cosines = (np.concatenate(some) for some in zip(*found, strict=True))
    order = np.lexsort((firsts, seconds))
    return seconds[order], firsts[order], cosines[order]
