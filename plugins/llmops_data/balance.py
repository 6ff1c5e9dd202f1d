"""How a dataset's rows are spread over the values of fields with few of them: labels, sources, languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

MOST_VALUES = 50
LONGEST_VALUE = 60
EACH = 2
"""A field is a label when each of its values stands in so many rows, on average, or more."""


class Balance:
    """Counts the values of every field, and forgets a field with too many of them."""

    def __init__(self) -> None:
        self._fields: dict[str, dict[str, Counter[str]] | None] = {}
        self._longer: Counter[str] = Counter()
        self._lengths: dict[str, list[int]] = {"chosen": [], "rejected": []}

    def see(self, split: str, row: Mapping[str, Any]) -> None:
        """Look at a row."""
        for name, value in _fields(row):
            known = self._fields.setdefault(name, {})
            if known is None:
                continue
            known.setdefault(value, Counter())[split] += 1
            if len(known) > MOST_VALUES or len(value) > LONGEST_VALUE:
                self._fields[name] = None
        if "chosen" in row and "rejected" in row:
            better, worse = _length(row["chosen"]), _length(row["rejected"])
            self._longer["chosen" if better > worse else "rejected" if worse > better else "equal"] += 1
            self._lengths["chosen"].append(better)
            self._lengths["rejected"].append(worse)

    def document(self) -> dict[str, Any]:
        """`labels`: field -> value -> split -> rows, the commonest first; `answers`: of preference pairs."""
        labels = {}
        for name, known in self._fields.items():
            if known and len(known) > 1 and sum(one.total() for one in known.values()) >= EACH * len(known):
                order = sorted(known, key=lambda value: (-known[value].total(), value))
                labels[name] = {value: dict(known[value]) for value in order}
        medians = {side: float(np.median(found)) for side, found in self._lengths.items() if found}
        answers = {"longer": dict(self._longer), "median_characters": medians} if medians else {}
        return {"labels": labels, "answers": answers}


def _fields(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each plain value of a row by name; of a conversation the last answer, which may be a class."""
    for name, value in row.items():
        if name == "facts" and isinstance(value, Mapping):
            yield from ((key, _plain(one)) for key, one in value.items() if _is_plain(one))
        elif name == "messages" and isinstance(value, list) and value and isinstance(value[-1], Mapping):
            yield "answer", str(value[-1].get("content", ""))
            opens = isinstance(value[0], Mapping) and value[0].get("role") == "system"
            yield "opens with", "a system message" if opens else "a question"
        elif name not in ("origin", "text", "title") and _is_plain(value):
            yield name, _plain(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, bool, int))


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _length(side: Any) -> int:
    if isinstance(side, str):
        return len(side)
    return sum(len(str(one.get("content", ""))) for one in side if isinstance(one, Mapping))
