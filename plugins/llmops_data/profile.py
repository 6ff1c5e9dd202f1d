"""What a dataset looks like, in numbers: the same for its report, its JSON and the audit of its drift."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from llmops_core.artifacts import Dataset
from llmops_data.lines import every, texts
from llmops_data.splitting import chance

WORDS = re.compile(r"\w+(?:['’]\w+)*")
SAMPLED = 5000
"""Rows whose words and languages are looked at; chosen by hash, so the same ones are chosen again."""
TOP = 30
COMMON = 1000
"""Words that two datasets are compared by."""
OUTLIERS = 5
SHOWN = 200
BINS = tuple(round(10 ** (power / 4)) for power in range(4, 25))
"""Bounds of the histogram of lengths: 10 to a million characters, four a power of ten."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def profile(dataset: Dataset) -> dict[str, Any]:
    """The numbers of a dataset, as JSON holds them. Lengths are of all texts of a row together."""
    lengths: dict[str, list[int]] = {split: [] for split in dataset.rows}
    words: dict[str, list[int]] = {split: [] for split in dataset.rows}
    turns: Counter[int] = Counter()
    kept = _Kept(min(1.0, SAMPLED / max(1, sum(dataset.rows.values()))))
    for split, line in every(dataset):
        row = json.loads(line)
        said = list(texts(row))
        lengths[split].append(sum(map(len, said)))
        words[split].append(sum(text.count(" ") + 1 for text in said))
        turns[len(said)] += 1
        kept.see(split, line, said)
    characters = [length for found in lengths.values() for length in found]
    return {
        "rows": dict(dataset.rows),
        "shape": dataset.shape,
        "funnel": [dict(entry) for entry in dataset.funnel],
        "characters": {
            "all": quantiles(characters),
            **{name: quantiles(one) for name, one in lengths.items()},
        },
        "words": {"all": quantiles([one for found in words.values() for one in found])},
        "histogram": {"bounds": BINS, "splits": {name: histogram(one) for name, one in lengths.items()}},
        "texts_a_row": {str(count): rows for count, rows in sorted(turns.items())},
        **kept.document(),
    }


def quantiles(values: Sequence[int]) -> dict[str, float]:
    """The quantiles of some numbers, by name ("5 %"); nothing of none."""
    if not values:
        return {}
    found = np.quantile(np.asarray(values), QUANTILES)
    return {f"{share:.0%}": round(float(value), 1) for share, value in zip(QUANTILES, found, strict=True)}


def histogram(lengths: Iterable[int]) -> list[int]:
    """How many lengths lie below each bound of BINS, and beyond the last."""
    counts = [0] * (len(BINS) + 1)
    for length in lengths:
        counts[bisect_right(BINS, length)] += 1
    return counts


class _Kept:
    """What is kept of a sample of rows, and of the longest and shortest ones."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._seen = 0
        self._words: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._openings: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._extremes: list[tuple[int, str, str]] = []

    def see(self, split: str, line: bytes, said: Sequence[str]) -> None:
        """Look at a row."""
        length = sum(map(len, said))
        self._extremes.append((length, split, " ⏎ ".join(said)[:SHOWN]))
        if len(self._extremes) > 50 * OUTLIERS:
            self._extremes = self._ends()
        if self._share < 1 and chance(f"profile {len(line)} {line[:500]!r}") >= self._share:
            return
        self._seen += 1
        for text in said:
            found = [word.lower() for word in WORDS.findall(text[:20_000])]
            self._words.update(found)
            self._pairs.update(pairwise(found))
        self._openings[" ".join(said[0].lower().split()[:3])] += 1
        self._languages[_language(" ".join(said)[:400])] += 1

    def _ends(self) -> list[tuple[int, str, str]]:
        ranked = sorted(self._extremes)
        return ranked[:OUTLIERS] + ranked[-OUTLIERS:] if len(ranked) > 2 * OUTLIERS else ranked

    def document(self) -> dict[str, Any]:
        """All of it, as JSON."""
        ends = [{"characters": length, "split": split, "text": text} for length, split, text in self._ends()]
        whole = max(1, sum(self._words.values()))
        return {
            "sampled": self._seen,
            "languages": dict(self._languages.most_common(TOP)),
            "top_words": dict(self._words.most_common(TOP)),
            "top_pairs": {" ".join(pair): count for pair, count in self._pairs.most_common(TOP)},
            "openings": dict(self._openings.most_common(TOP)),
            "vocabulary": len(self._words),
            "word_shares": {word: count / whole for word, count in self._words.most_common(COMMON)},
            "outliers": ends,
        }


def _language(text: str) -> str:
    from llmops_data.language import language_of

    return language_of(text, 0.5)


def drift(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, float]:
    """How far two profiles are apart: 0 is the same.

    `lengths` is the population stability index of the lengths (0.1 little, 0.25 much); `words` and
    `languages` are Jensen-Shannon divergences in bits (0 to 1).
    """
    before, after = (_summed(one["histogram"]["splits"].values()) for one in (old, new))
    return {
        "lengths": round(stability(before, after), 4),
        "words": round(divergence(old["word_shares"], new["word_shares"]), 4),
        "languages": round(divergence(old["languages"], new["languages"]), 4),
    }


def _summed(counts: Iterable[Sequence[int]]) -> list[int]:
    return [sum(one) for one in zip(*counts, strict=True)]


def stability(before: Sequence[int], after: Sequence[int]) -> float:
    """The population stability index of two histograms; half a row stands in for an empty bin."""
    found = 0.0
    for old, new in zip(before, after, strict=True):
        if old or new:
            was, now = max(old, 0.5) / max(1, sum(before)), max(new, 0.5) / max(1, sum(after))
            found += (now - was) * math.log(now / was)
    return found


def divergence(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The Jensen-Shannon divergence of two distributions given as weights, in bits."""
    wholes = sum(before.values()) or 1.0, sum(after.values()) or 1.0
    found = 0.0
    for name in {*before, *after}:
        was, now = before.get(name, 0.0) / wholes[0], after.get(name, 0.0) / wholes[1]
        middle = (was + now) / 2
        found += sum(part * math.log2(part / middle) for part in (was, now) if part > 0) / 2
    return found
