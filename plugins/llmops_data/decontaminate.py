"""Leaves out rows that share long runs of words with evaluation sets."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

from llmops_core.step import StepRun
from llmops_data.compared import compared
from llmops_data.config import Decontaminate, DialogueData
from llmops_data.reading import read_sources
from llmops_data.rows import Outcome, Row

WORDS = re.compile(r"\w+")
FEWEST = 8
"""Words of a paragraph that counts by itself; shorter ones are said everywhere."""

Runs = Mapping[int, frozenset[bytes]]
"""Digests of runs of words, by their length."""


def decontaminate(config: Decontaminate, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Leave out each row that holds a run of words of an evaluation set.

    Raises DataError and FetchError when an evaluation set cannot be read.
    """
    known = {name: _runs_of(config, run, name) for name in config.against}
    counts = {f"found in {name} left out": 0 for name in known}
    text = compared(rows, "row")

    def clean() -> Iterator[Row]:
        for row in rows:
            words = words_of(text(row))
            where = next((name for name, others in known.items() if _holds(words, others)), "")
            if where:
                counts[f"found in {where} left out"] += 1
            else:
                yield row

    return Outcome(clean(), counts=counts)


def _runs_of(config: Decontaminate, run: StepRun, name: str) -> Runs:
    """What is looked for of an evaluation set, whatever the shape of its rows."""
    reading = DialogueData(sources={name: config.against[name]}, shape="text", max_broken_share=1.0)
    [found] = read_sources(reading, run)
    telling: dict[int, set[bytes]] = defaultdict(set)
    for row in found.rows:
        whole = words_of(row.text)
        parts = [words_of(part) for part in row.text.split("\n\n")]
        for words in (whole, *(part for part in parts if FEWEST <= len(part) < config.words)):
            length = min(len(words), config.words)
            telling[length].update(runs(words, length) if length else ())
    return {length: frozenset(found) for length, found in telling.items()}


def words_of(text: str) -> list[str]:
    """The words of a text, blind to case and punctuation."""
    return WORDS.findall(text.casefold())


def _holds(words: Sequence[str], others: Runs) -> bool:
    return any(one in telling for length, telling in others.items() for one in runs(words, length))


def runs(words: Sequence[str], length: int) -> Iterator[bytes]:
    """Digests of all runs of so many words."""
    for start in range(len(words) - length + 1):
        said = " ".join(words[start : start + length]).encode("utf-8", "surrogatepass")
        yield blake2b(said, digest_size=8).digest()
