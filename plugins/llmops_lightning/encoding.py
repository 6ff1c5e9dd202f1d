"""Rows as examples, once: tokenised, masked and laid down in flat files that are read by memory map."""

from __future__ import annotations

import hashlib
import random
import uuid
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy

from llmops_core.artifacts import Dataset
from llmops_core.cache import ENTRY, Cache
from llmops_core.content import file_digest
from llmops_core.errors import DataError
from llmops_core.files import read_json
from llmops_core.keys import code_digest
from llmops_core.step import StepRun
from llmops_lightning.encoding_processes import Line, encoded_chunks
from llmops_lightning.objective import NO_LOSS, Example, Objective, Tokens

FORMAT = 2
COLUMNS: Mapping[str, str] = {
    "ids": "int32",
    "learned": "int8",
    "sequence_ends": "int64",
    "example_ends": "int64",
    "weights": "int64",
    "rows": "int64",
    "cut": "int8",
}
CODES = {"int32": "i", "int8": "b", "int64": "q"}
CHUNK = 512
"""Rows that are encoded together: enough to pay for a trip to another process."""


@dataclass(frozen=True)
class Encoded:
    """The examples of a split, on disk: eight bytes or so of memory for each, whatever their length."""

    folder: Path

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What was counted while encoding: rows, cut, silent, digest."""
        found: Mapping[str, Any] = read_json(self.folder / ENTRY)["facts"]
        return found

    @cached_property
    def _columns(self) -> Mapping[str, Any]:
        def read(name: str, kind: str) -> Any:
            file = self.folder / f"{name}.bin"
            return numpy.memmap(file, kind, "r") if file.stat().st_size else numpy.empty(0, kind)

        return {name: read(name, kind) for name, kind in COLUMNS.items()}

    def __len__(self) -> int:
        return len(self._columns["weights"])

    @cached_property
    def lengths(self) -> Any:
        """How many tokens each example has (int64)."""
        ends = numpy.concatenate([[0], self._columns["sequence_ends"]])
        return numpy.diff(ends[numpy.concatenate([[0], self._columns["example_ends"]])])

    @property
    def weights(self) -> Any:
        """How much each example counts in its step's denominator (int64)."""
        return self._columns["weights"]

    @property
    def rows(self) -> Any:
        """The line of the split that each example comes from, from 1 (int64)."""
        return self._columns["rows"]

    def __getitem__(self, at: int) -> Example:
        columns = self._columns
        first = int(columns["example_ends"][at - 1]) if at else 0
        parts = []
        for sequence in range(first, int(columns["example_ends"][at])):
            start = int(columns["sequence_ends"][sequence - 1]) if sequence else 0
            inside = slice(start, int(columns["sequence_ends"][sequence]))
            ids = columns["ids"][inside]
            labels = numpy.where(columns["learned"][inside] != 0, ids, NO_LOSS)
            parts.append(Tokens(tuple(ids.tolist()), tuple(labels.tolist())))
        return Example(
            tuple(parts), int(columns["weights"][at]), int(columns["rows"][at]), bool(columns["cut"][at])
        )

    @property
    def digest(self) -> str:
        """Of all examples in their order."""
        return str(self.facts["digest"])


@dataclass(frozen=True)
class Encoder:
    """Encodes splits into the store's cache/tokens: the same rows become tokens once, for all runs."""

    objective: Objective
    length: int
    run: StepRun
    processes: int | None = None
    max_silent_share: float = 0.5

    def encode(self, data: Dataset, split: str, most: int | None) -> Encoded:
        """The examples of a split, or of a seeded sample of its rows.

        Rows without a token to learn are left out, counted and told. Raises DataError when none is left,
        or when they are more than `max_silent_share` of all.
        """

        def make(folder: Path) -> Mapping[str, Any]:
            return self._write(folder, self._lines(data, split, most), _count(data, split, most))

        entry = Cache(self.run.state, "tokens").entry(self._source(data, split, most), make)
        self._tell(entry.facts, split)
        _link(self.run.scratch / f"encoded-{split}", entry.folder)
        return Encoded(entry.folder)

    def _source(self, data: Dataset, split: str, most: int | None) -> Mapping[str, Any]:
        """All that decides the examples; the code that makes them too."""
        sampled = most is not None and most < data.rows.get(split, 0)
        return {
            "format": FORMAT,
            "rows": file_digest(data.path(split)),
            "sample": [most, self.run.seed] if sampled else None,
            "objective": self.objective.identity(),
            "code": [code_digest(__name__), code_digest(type(self.objective).__module__)],
            "libraries": [version("tokenizers"), version("transformers")],
            "length": self.length,
        }

    def _lines(self, data: Dataset, split: str, most: int | None) -> Iterator[Line]:
        """The split's lines with their numbers, or a seeded sample of them in their order."""
        count = data.rows.get(split, 0)
        chosen: set[int] | None = None
        if most is not None and most < count:
            chosen = set(random.Random(f"{self.run.seed} rows").sample(range(count), most))
        with data.path(split).open(encoding="utf-8") as lines:
            for at, line in enumerate(lines):
                if chosen is None or at in chosen:
                    yield at + 1, line

    def _write(self, folder: Path, lines: Iterator[Line], count: int) -> Mapping[str, Any]:
        counts = {"rows": 0, "cut": 0, "silent": 0}
        whole = hashlib.sha256()
        chunks = iter(lambda: list(islice(lines, CHUNK)), [])
        with ExitStack() as stack:
            files = {name: stack.enter_context((folder / f"{name}.bin").open("wb")) for name in COLUMNS}
            tokens = sequences = 0
            for examples in encoded_chunks(self.objective, self.length, chunks, self.processes, count):
                for numbers, of_row in examples:
                    counts["rows"] += 1
                    counts["cut"] += any(example.cut for example in of_row)
                    kept = [example for example in of_row if example.weight]
                    counts["silent"] += not kept
                    for example in kept:
                        columns, tokens, sequences = _columns(example, numbers, tokens, sequences)
                        for name, values in columns.items():
                            content = array(CODES[COLUMNS[name]], values).tobytes()
                            whole.update(content)
                            files[name].write(content)
        return {**counts, "tokens": tokens, "digest": whole.hexdigest()}

    def _tell(self, facts: Mapping[str, Any], split: str) -> None:
        count, cut, silent = facts["rows"], facts["cut"], facts["silent"]
        of = "" if split == "train" else f" of {split}"
        if silent == count:
            why = "no row has anything to learn within max_length" if count else "there are no rows"
            raise DataError(
                f"nothing to learn{of}: {why}",
                where=self.run.step,
                remedy="Raise max_length, or check the rows' roles." if count else "Check the data step.",
            )
        if silent > self.max_silent_share * count:
            raise DataError(
                f"{silent} of {count} rows{of} have nothing to learn within {self.length} tokens, more than "
                f"max_silent_share ({self.max_silent_share:g}) allows",
                where=self.run.step,
                remedy="Raise max_length, check the rows' roles, or raise max_silent_share.",
            )
        if cut:
            self.run.warn(f"{cut} of {count} rows{of} were cut at {self.length} tokens")
        if silent:
            self.run.warn(
                f"{silent} of {count} rows{of} have nothing to learn within {self.length} tokens: left out"
            )


def _columns(
    example: Example, row: int, tokens: int, sequences: int
) -> tuple[Mapping[str, Sequence[int]], int, int]:
    ends: list[int] = []
    ids: list[int] = []
    learned: list[int] = []
    for part in example.parts:
        ids += part.ids
        learned += [label != NO_LOSS for label in part.labels]
        ends.append(tokens + len(ids))
    sequences += len(example.parts)
    columns: Mapping[str, Sequence[int]] = {
        "ids": ids,
        "learned": learned,
        "sequence_ends": ends,
        "example_ends": [sequences],
        "weights": [example.weight],
        "rows": [row],
        "cut": [int(example.cut)],
    }
    return columns, tokens + len(ids), sequences


def _count(data: Dataset, split: str, most: int | None) -> int:
    count = data.rows.get(split, 0)
    return count if most is None else min(most, count)


def _link(place: Path, folder: Path) -> None:
    """Let `place` lead to `folder`: there the other processes of a training find what they share."""
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}")
    fresh.symlink_to(folder.resolve(), target_is_directory=True)
    fresh.replace(place)
