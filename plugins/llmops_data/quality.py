"""Leaves out texts that are no prose, by published rules.

Gopher: Rae et al. 2021, arXiv 2112.11446, tables A1 and A.1.1. C4: Raffel et al. 2020, section 2.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from llmops_core.step import StepRun
from llmops_data.config import Quality
from llmops_data.rows import Outcome, Row

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
BULLETS = ("•", "‣", "-", "*", "·", "●")
ENDINGS = (".", "!", "?", '"', "”", "’", "'", ")")
EDGES = ".,;:!?\"'()[]"


class Measures(NamedTuple):
    """What the rules ask of a text, counted once."""

    text: str
    words: list[str]
    lines: list[str]


def quality(config: Quality, run: StepRun, *, rows: Sequence[Row]) -> Outcome:
    """Keep the rows that break no rule; each one left out counts for the first that it breaks."""
    broken: Counter[str] = Counter()
    kept = []
    for row in rows:
        rule = next(broken_rules(config, row.text), "")
        if rule:
            broken[f"{rule} left out"] += 1
        else:
            kept.append(row)
    return Outcome(kept, counts=broken or {"left out": 0})


quality.by_rows = True  # type: ignore[attr-defined]


def broken_rules(config: Quality, text: str) -> Iterator[str]:
    """The rules that a text breaks, cheap ones first."""
    measures = Measures(text, text.split(), [line.strip() for line in text.split("\n") if line.strip()])
    yield from (name for name, breaks in RULES.items() if breaks(config, measures))


def _mean_word(measures: Measures) -> float:
    return sum(map(len, measures.words)) / max(1, len(measures.words))


def _symbols(measures: Measures) -> float:
    text = measures.text
    return (text.count("#") + text.count("...") + text.count("…")) / max(1, len(measures.words))


def _share(lines: Sequence[str], matching: Callable[[str], bool]) -> float:
    return sum(map(matching, lines)) / max(1, len(lines))


def _alphabetic(measures: Measures) -> float:
    return _share(measures.words, lambda word: word.isalpha() or any(map(str.isalpha, word)))


def _stop_words(measures: Measures) -> int:
    return len(STOP_WORDS.intersection(word.lower().strip(EDGES) for word in measures.words))


def _duplicate_lines(measures: Measures) -> float:
    seen: set[str] = set()
    again = 0
    for line in measures.lines:
        again += len(line) if line in seen else 0
        seen.add(line)
    return again / max(1, len(measures.text))


def _top_pair(measures: Measures) -> float:
    if len(measures.words) < 4:
        return 0.0
    (first, second), count = Counter(pairwise(measures.words)).most_common(1)[0]
    return count * (len(first) + len(second)) / len(measures.text) if count > 1 else 0.0


def _forbidden(config: Quality, measures: Measures) -> bool:
    text = measures.text.lower()
    return any(phrase.lower() in text for phrase in config.forbidden)


RULES: dict[str, Callable[[Quality, Measures], bool]] = {
    "of too few words": lambda config, found: len(found.words) < config.min_words,
    "of too many words": lambda config, found: 0 < config.max_words < len(found.words),
    "of too short words": lambda config, found: _mean_word(found) < config.min_mean_word,
    "of too long words": lambda config, found: 0 < config.max_mean_word < _mean_word(found),
    "of too many symbols": lambda config, found: 0 < config.max_symbols < _symbols(found),
    "of bullets": lambda config, found: 0 < config.max_bullets < _share(found.lines, _bullet),
    "of cut lines": lambda config, found: 0 < config.max_ellipses < _share(found.lines, _cut),
    "of too few letters": lambda config, found: _alphabetic(found) < config.min_alphabetic,
    "without stop words": lambda config, found: config.min_stop_words > _stop_words(found),
    "with forbidden phrases": _forbidden,
    "of too few sentences": lambda config, found: sum(map(_ends, found.lines)) < config.min_sentences,
    "of repeated lines": lambda config, found: 0 < config.max_duplicate_lines < _duplicate_lines(found),
    "of repeated words": lambda config, found: 0 < config.max_top_pair < _top_pair(found),
}
"""What a text is told to be -> whether it is. Order: the first that holds is the one counted."""


def _bullet(line: str) -> bool:
    return line.startswith(BULLETS)


def _cut(line: str) -> bool:
    return line.endswith(("...", "…"))


def _ends(line: str) -> bool:
    return line.endswith(ENDINGS)
