"""Rows as examples, once: tokenised, masked and laid down in flat files that are read by memory map."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy

from llmops_core.artifacts import Dataset
from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_lightning.encoding_processes import Line, encoded_chunks
from llmops_lightning.objective import NO_LOSS, Example, Objective, Tokens

FORMAT = 1
COLUMNS: Mapping[str, str] = {
    "ids": "int32",
    "learned": "int8",
    "sequence_ends": "int64",
    "example_ends": "int64",
    "weights": "int64",
    "rows": "int64",
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
        found: Mapping[str, Any] = json.loads((self.folder / "facts.json").read_text(encoding="utf-8"))
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
        return Example(tuple(parts), int(columns["weights"][at]), int(columns["rows"][at]))

    @property
    def digest(self) -> str:
        """Of all examples in their order."""
        return str(self.facts["digest"])


@dataclass(frozen=True)
class Encoder:
    """Encodes splits into `run.scratch`; what lies there already, whole and of the same content, is kept."""

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
        folder = self.run.scratch / f"encoded-{split}"
        source = self._source(data, split, most)
        encoded = Encoded(folder)
        if not _is_whole(folder, source):
            partial = self.run.scratch / f"encoded-{split}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            partial.mkdir(parents=True)
            self._write(partial, source, self._lines(data, split, most), _count(data, split, most))
            partial.rename(folder)
        self._tell(encoded.facts, split)
        return encoded

    def _source(self, data: Dataset, split: str, most: int | None) -> str:
        made = hashlib.sha256()
        with data.path(split).open("rb") as file:
            while block := file.read(1 << 20):
                made.update(block)
        facts = [FORMAT, self.objective.identity(), self.length, most, self.run.seed]
        made.update(repr(facts).encode())
        return made.hexdigest()

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

    def _write(self, folder: Path, source: str, lines: Iterator[Line], count: int) -> None:
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
        facts = {**counts, "tokens": tokens, "source": source, "digest": whole.hexdigest()}
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

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
    columns = {
        "ids": ids,
        "learned": learned,
        "sequence_ends": ends,
        "example_ends": [sequences],
        "weights": [example.weight],
        "rows": [row],
    }
    return columns, tokens + len(ids), sequences


def _count(data: Dataset, split: str, most: int | None) -> int:
    count = data.rows.get(split, 0)
    return count if most is None else min(most, count)


def _is_whole(folder: Path, source: str) -> bool:
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return bool(facts.get("source") == source)
