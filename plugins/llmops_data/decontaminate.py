"""Leaves out rows that share long runs of words with evaluation sets."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from llmops_core.step import StepRun
from llmops_data.compared import compared
from llmops_data.config import Decontaminate, DialogueData
from llmops_data.reading import read_sources
from llmops_data.rows import Outcome, Row

WORDS = re.compile(r"\w+")
FEWEST = 8
"""Words of a text or paragraph that tells by itself; shorter ones are said everywhere."""


@dataclass(frozen=True)
class Telling:
    """What tells of an evaluation set, as digests of words."""

    runs: Mapping[int, frozenset[bytes]]
    """Runs of words, by their length: one of them in a row is enough."""
    wholes: frozenset[bytes]
    """Texts too short for that: a row that says just the same."""

    def is_in(self, words: Sequence[str]) -> bool:
        """Whether a text of these words holds any of it."""
        if digest(words) in self.wholes:
            return True
        return any(one in known for length, known in self.runs.items() for one in runs(words, length))


def decontaminate(config: Decontaminate, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Leave out each row that holds a run of words of an evaluation set.

    Raises DataError and FetchError when an evaluation set cannot be read.
    """
    known = {name: _telling(config, run, name) for name in config.against}
    counts = {f"found in {name} left out": 0 for name in known}
    text = compared(rows, "row")

    def clean() -> Iterator[Row]:
        for row in rows:
            words = words_of(text(row))
            where = next((name for name, telling in known.items() if telling.is_in(words)), "")
            if where:
                counts[f"found in {where} left out"] += 1
            else:
                yield row

    return Outcome(clean(), counts=counts)


def _telling(config: Decontaminate, run: StepRun, name: str) -> Telling:
    """What is looked for of an evaluation set, whatever the shape of its rows."""
    reading = DialogueData(sources={name: config.against[name]}, shape="text", max_broken_share=1.0)
    [found] = read_sources(reading, run)
    telling: dict[int, set[bytes]] = defaultdict(set)
    wholes = set()
    for row in found.rows:
        whole = words_of(row.text)
        parts = [words_of(part) for part in row.text.split("\n\n")]
        for words in (whole, *(part for part in parts if len(part) < config.words)):
            if len(words) >= min(FEWEST, config.words):
                length = min(len(words), config.words)
                telling[length].update(runs(words, length))
        if 0 < len(whole) < min(FEWEST, config.words):
            wholes.add(digest(whole))
    return Telling({length: frozenset(known) for length, known in telling.items()}, frozenset(wholes))


def words_of(text: str) -> list[str]:
    """The words of a text, blind to case and punctuation."""
    return WORDS.findall(text.casefold())


def runs(words: Sequence[str], length: int) -> Iterator[bytes]:
    """Digests of all runs of so many words."""
    for start in range(len(words) - length + 1):
        yield digest(words[start : start + length])


def digest(words: Sequence[str]) -> bytes:
    """Of a run of words."""
    return blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=8).digest()
