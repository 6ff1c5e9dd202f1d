"""What a dataset looks like, in numbers: the same for its report, its JSON and the audit of its drift."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmops_core.artifacts import Dataset
from llmops_data.balance import Balance
from llmops_data.copies import copies, resembling
from llmops_data.language import language_of
from llmops_data.lines import every, identities, texts
from llmops_data.outliers import Outliers, Place
from llmops_data.rows import Message, Row
from llmops_data.splitting import chance
from llmops_data.tokens import IN_WORDS, Measure
from llmops_data.words import phrase, telling, words

SAMPLED = 5000
"""Rows whose words, tokens and languages are looked at; chosen by hash, so the same ones are chosen again."""
TOP = 30
COMMON = 1000
"""Words that two datasets are compared by."""
LONGEST = 20_000
"""Characters of a text whose words are counted and whose likes are looked for."""
AT_ONCE = 200
REMEMBERED = 400_000
"""Different runs of words that are counted before those seen once are forgotten."""
BINS = tuple(round(10 ** (power / 4)) for power in range(4, 25))
"""Bounds of the histogram that two datasets are compared by: 10 to a million characters."""
COLUMNS = 24
PERSONAL = "rows with personal data"
"""What a step that looks for personal data counts beside the kinds: by it its line of the funnel is known."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def profile(dataset: Dataset, measure: Measure = IN_WORDS, *, alike: bool = True) -> dict[str, Any]:
    """The numbers of a dataset, as JSON holds them. Lengths are of all texts of a row together.

    `measure` tells how long texts are; `alike`: look for rows that nearly repeat another.
    """
    characters: dict[str, list[int]] = {split: [] for split in dataset.rows}
    turns: Counter[int] = Counter()
    outliers, balance = Outliers(), Balance()
    sample = Sample(measure)
    share = min(1.0, SAMPLED / max(1, sum(dataset.rows.values())))
    for split, line in every(dataset):
        row = json.loads(line)
        said = list(texts(row))
        characters[split].append(sum(map(len, said)))
        place = Place(split, len(characters[split]))
        turns[len(said)] += 1
        outliers.see_length(place, said)
        balance.see(split, row)
        if said and (share == 1 or chance(f"profile {len(line)} {line[:500]!r}") < share):
            outliers.see_text(place, said)
            sample.see(place, said)
    found = copies(identities(dataset))
    return {
        "rows": dict(dataset.rows),
        "shape": dataset.shape,
        "funnel": [dict(entry) for entry in dataset.funnel],
        "sources": counted_by(dataset, "source"),
        "personal": personal(dataset),
        "characters": quantiles_of(characters),
        "histogram": {"bounds": BINS, "splits": {name: histogram(one) for name, one in characters.items()}},
        "texts_a_row": {str(count): rows for count, rows in sorted(turns.items())},
        **sample.document(),
        **_languages(dataset),
        **balance.document(),
        "duplicates": {
            "copies": found.again,
            "same_prompt": found.same_prompt,
            "across_splits": found.across,
        },
        "alike": resembling(sample.rows) if alike else {},
        "outliers": outliers.document(),
    }


def counted_by(dataset: Dataset, fact: str) -> dict[str, dict[str, int]]:
    """Value of a fact -> split -> rows, as the dataset's record has it; nothing where it has not."""
    return {
        str(value): dict(splits)
        for entry in dataset.funnel
        for value, splits in entry.get("by", {}).get(fact, {}).items()
    }


def _languages(dataset: Dataset) -> dict[str, Any]:
    """The languages of all rows, where a step found them: in place of the sample's."""
    known = counted_by(dataset, "language")
    found = {"languages": {name: sum(one.values()) for name, one in known.items()}} if known else {}
    return {**found, "languages_of_all": bool(known)}


def personal(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Step -> what was done to which kind of personal data -> how often, as the dataset's record has it."""
    told = {str(entry["step"]): dict(entry.get("counts", {})) for entry in dataset.funnel}
    return {step: counts for step, counts in told.items() if PERSONAL in counts}


def quantiles_of(values: Mapping[str, Sequence[int]]) -> dict[str, dict[str, float]]:
    """The quantiles of each split's numbers, and of "all"."""
    whole = [one for found in values.values() for one in found]
    return {"all": quantiles(whole), **{name: quantiles(found) for name, found in values.items()}}


def quantiles(values: Sequence[int]) -> dict[str, float]:
    """The quantiles of some numbers, by name ("5 %"); nothing of none."""
    if not values:
        return {}
    found = np.quantile(np.asarray(values), QUANTILES)
    return {f"{share:.0%}": round(float(value), 1) for share, value in zip(QUANTILES, found, strict=True)}


def histogram(lengths: Iterable[int], bounds: Sequence[int] = BINS) -> list[int]:
    """How many lengths lie below each bound, and beyond the last."""
    counts = [0] * (len(bounds) + 1)
    for length in lengths:
        counts[bisect_right(bounds, length)] += 1
    return counts


def spread(values: Sequence[int]) -> list[int]:
    """Bounds of about COLUMNS columns or fewer that show how some lengths are spread.

    Even ones; where the longest are many times as long as the rest, each is some times the one before.
    """
    if not values:
        return []
    low, high = (float(one) for one in np.quantile(np.asarray(values), (0.0, 0.995)))
    most = min(COLUMNS, 2 * math.isqrt(len(values)) + 2)
    if high > 20 * max(1.0, float(np.median(values))):
        each = (high / max(1.0, low)) ** (1 / most)
        return sorted({round(max(1.0, low) * each**number) for number in range(1, most + 1)})
    rough = max(1.0, (high - low) / most)
    power = 10 ** math.floor(math.log10(rough))
    step = max(1, int(next(one * power for one in (1, 2, 5, 10) if one * power >= rough)))
    first = int(low // step) * step + step
    return list(range(first, int(high) + step + 1, step))


@dataclass
class Sample:
    """What is counted in some of the rows."""

    measure: Measure
    rows: list[Row] = field(default_factory=list)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    grams: tuple[Counter[tuple[str, ...]], ...] = field(
        default_factory=lambda: (Counter(), Counter(), Counter())
    )
    openings: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    waiting: list[tuple[str, Sequence[str]]] = field(default_factory=list)

    def see(self, place: Place, said: Sequence[str]) -> None:
        """Look at a row."""
        short = [text[:LONGEST] for text in said]
        self.rows.append(Row(str(place), tuple(Message("text", text) for text in short)))
        for text in short:
            found = words(text)
            for size, counter in enumerate(self.grams, 1):
                counter.update(zip(*(found[start:] for start in range(size)), strict=False))
                if size > 1 and len(counter) > REMEMBERED:
                    _forget_single(counter)
        self.openings[" ".join(short[0].lower().split()[:3])] += 1
        self.languages[language_of(" ".join(short)[:400], 0.5)] += 1
        self.waiting.append((place.split, said))
        if len(self.waiting) >= AT_ONCE:
            self._count()

    def _count(self) -> None:
        found = iter(self.measure.lengths([text for _, said in self.waiting for text in said]))
        for split, said in self.waiting:
            self.lengths.setdefault(split, []).append(sum(next(found) for _ in said))
        self.waiting.clear()

    def document(self) -> dict[str, Any]:
        """All of it, as JSON."""
        self._count()
        singles, pairs, triples = self.grams
        whole = max(1, singles.total())
        lengths = [one for found in self.lengths.values() for one in found]
        bounds = spread(lengths)
        return {
            "sampled": len(self.rows),
            "lengths": {
                "unit": self.measure.unit,
                "by": self.measure.by,
                "quantiles": quantiles_of(self.lengths),
                "mean": round(sum(lengths) / max(1, len(lengths)), 1),
                "histogram": {"bounds": bounds, "rows": histogram(lengths, bounds) if bounds else []},
            },
            "languages": dict(self.languages.most_common(TOP)),
            "top_words": _top(singles),
            "top_pairs": _top(pairs),
            "top_triples": _top(triples),
            "openings": {opening: count for opening, count in self.openings.most_common(TOP) if count > 1},
            "vocabulary": len(singles),
            "word_shares": {word: count / whole for (word,), count in singles.most_common(COMMON)},
        }


def _forget_single(grams: Counter[tuple[str, ...]]) -> None:
    for parts in [parts for parts, count in grams.items() if count == 1]:
        del grams[parts]


def _top(grams: Counter[tuple[str, ...]]) -> dict[str, int]:
    """The commonest that say something; of two or three words, those that stand more than once."""
    told = ((parts, count) for parts, count in grams.most_common() if telling(parts))
    found: dict[str, int] = {}
    for parts, count in told:
        if (len(parts) > 1 and count < 2) or len(found) == TOP:
            break
        found.setdefault(phrase(parts), count)
    return found
