"""What differs between two datasets, row by row, in memory that grows by 40 bytes a row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmops_core.artifacts import Dataset
from llmops_data.lines import Numbers, asked, every, said, short_digest

LONGEST = 300
"""Letters of a text that an example shows."""
BEFORE = 40
"""Letters shown of what is equal before a difference."""
IDS = ("id", "uuid", "key")
"""Facts that name a row, looked for in this order."""
KINDS = ("removed", "added", "changed", "moved", "same")

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """How many rows went and came, say something else, or are in another split; and some of each."""

    removed: int
    added: int
    changed: int
    moved: int
    same: int
    examples: Mapping[str, Sequence[Mapping[str, Any]]]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        counts = {name: getattr(self, name) for name in KINDS}
        return {**counts, "examples": {name: list(found) for name, found in self.examples.items()}}


class Side(NamedTuple):
    """Numbers for what each row of a dataset says, is called (0: nothing) and asks; and its split."""

    wholes: Numbers
    ids: Numbers
    prompts: Numbers
    splits: NDArray[np.uint8]


def difference(old: Dataset, new: Dataset, examples: int = 3, key: str = "") -> Difference:
    """Compare two datasets.

    A row is changed rather than removed and added when one of the same id (the fact `key`, else one of IDS)
    or else the same prompt stands on the other side; of a text, one that was read at the same place.
    """
    names = [*dict.fromkeys([*old.rows, *new.rows])]
    keys = (key,) if key else IDS
    before, after = _side(old, names, keys), _side(new, names, keys)
    was, now = _matched(before.wholes, after.wholes)
    gone, came = _others(len(before.wholes), was), _others(len(after.wholes), now)
    pairs: list[tuple[Places, Places]] = []
    for ours, theirs in ((before.ids, after.ids), (before.prompts, after.prompts)):
        left, right = gone[ours[gone] != 0], came[theirs[came] != 0]
        first, second = _matched(ours[left], theirs[right])
        pairs.append((left[first], right[second]))
        gone, came = np.setdiff1d(gone, left[first]), np.setdiff1d(came, right[second])
    changed = [np.concatenate(one) for one in zip(*pairs, strict=True)]
    away = before.splits[was] != after.splits[now]
    moved = was[away], now[away]
    chosen = {
        "removed": (gone[:examples], gone[:0]),
        "added": (came[:0], came[:examples]),
        "changed": _first(changed[0], changed[1], examples),
        "moved": _first(*moved, examples),
    }
    told = _examples(old, new, chosen)
    return Difference(len(gone), len(came), len(changed[0]), len(moved[0]), len(was) - len(moved[0]), told)


def _first(was: Places, now: Places, count: int) -> tuple[Places, Places]:
    order = np.argsort(now)[:count]
    return was[order], now[order]


def _side(dataset: Dataset, names: Sequence[str], keys: Iterable[str]) -> Side:
    wholes, ids, prompts, splits = (bytearray() for _ in range(4))
    for split, line in every(dataset):
        row = json.loads(line)
        facts = row.get("facts") or {}
        name = next((facts[key] for key in keys if key in facts), None)
        wholes += short_digest([said(row), facts])
        ids += bytes(8) if name is None else short_digest(name)
        prompts += short_digest(asked(row))
        splits.append(names.index(split))
    numbers = (np.frombuffer(bytes(one), np.uint64) for one in (wholes, ids, prompts))
    return Side(*numbers, np.frombuffer(bytes(splits), np.uint8))


def _matched(ours: Numbers, theirs: Numbers) -> tuple[Places, Places]:
    """The places of equal numbers on both sides: the first with the first, the second with the second."""
    _, first, second = np.intersect1d(_numbered(ours), _numbered(theirs), return_indices=True)
    return first, second


def _numbered(values: Numbers) -> Numbers:
    """The numbers, each mixed with how many equal ones came before it, so that all are different."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    opens = np.concatenate(([True], ranked[1:] != ranked[:-1])) if len(ranked) else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(opens, np.arange(len(ranked)), 0))
    found = np.empty(len(values), np.uint64)
    rank = (np.arange(len(ranked)) - starts).astype(np.uint64)
    found[order] = ranked ^ (rank * np.uint64(0x9E3779B97F4A7C15))
    return found


def _others(count: int, places: Places) -> Places:
    left = np.ones(count, bool)
    left[places] = False
    return np.flatnonzero(left)


def _examples(
    old: Dataset, new: Dataset, chosen: Mapping[str, tuple[Places, Places]]
) -> dict[str, list[Mapping[str, Any]]]:
    was = _rows(old, {int(place) for first, _ in chosen.values() for place in first})
    now = _rows(new, {int(place) for _, second in chosen.values() for place in second})
    told: dict[str, list[Mapping[str, Any]]] = {}
    for name, (first, second) in chosen.items():
        if name == "removed":
            told[name] = [was[int(place)] for place in first]
        elif name == "added":
            told[name] = [now[int(place)] for place in second]
        else:
            both = [(was[int(a)], now[int(b)]) for a, b in zip(first, second, strict=True)]
            told[name] = [_moved(*one) if name == "moved" else _changed(*one) for one in both]
    return told


def _rows(dataset: Dataset, wanted: set[int]) -> dict[int, dict[str, Any]]:
    """Some rows by their places, each with its split and line, in one pass."""
    found, counts = {}, dict.fromkeys(dataset.rows, 0)
    for place, (split, line) in enumerate(every(dataset)) if wanted else ():
        counts[split] += 1
        if place in wanted:
            found[place] = {"at": f"{split}:{counts[split]}", "row": json.loads(line)}
            if len(found) == len(wanted):
                break
    return found


def _moved(was: Mapping[str, Any], now: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"at": now["at"], "was_at": was["at"], "row": now["row"]}


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> Mapping[str, Any]:
    ours, theirs = dict(leaves(was["row"])), dict(leaves(now["row"]))
    # where a text was read changes with every line added before it, and is no change of the text
    names = [name for name in dict.fromkeys([*ours, *theirs]) if name != "origin"]
    fields = [
        {"field": name, **dict(zip(("was", "now"), _cut(ours.get(name), theirs.get(name)), strict=True))}
        for name in names
        if ours.get(name) != theirs.get(name)
    ]
    return {"at": now["at"], "was_at": was["at"], "fields": fields}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value in a row with its path: ("messages[1].content", "Hello")."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from leaves(member, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from leaves(member, f"{name}[{number}]")
    else:
        yield name, value


def _cut(was: Any, now: Any) -> tuple[Any, Any]:
    """Two values; of long texts the part around their first difference."""
    if not isinstance(was, str) or not isinstance(now, str):
        return short(was), short(now)
    apart = next(
        (at for at, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now))
    )
    start = max(0, apart - BEFORE) if max(len(was), len(now)) > LONGEST else 0
    opens = "…" if start else ""
    return opens + str(short(was[start:])), opens + str(short(now[start:]))


def short(value: Any) -> Any:
    """A value, a text of it cut to a length that a person reads."""
    return value[: LONGEST - 1] + "…" if isinstance(value, str) and len(value) > LONGEST else value


def plainly(row: Any) -> str:
    """A row on one line for a person: "user: How? ⏎ assistant: So."."""
    if isinstance(row, Mapping) and isinstance(row.get("messages"), list):
        told = [
            f"{one.get('role')}: {one.get('content')}" for one in row["messages"] if isinstance(one, Mapping)
        ]
    else:
        told = [f"{name}: {value}" for name, value in leaves(row) if not name.endswith(".role")]
    return str(short(" ⏎ ".join(told).replace("\n", " ")))
