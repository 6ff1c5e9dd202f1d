"""What differs between two datasets, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmops_core.artifacts import Dataset
from llmops_data.lines import Identities, Numbers, every, identities

LONGEST = 300
"""Letters of a row that an example shows."""


@dataclass(frozen=True)
class Difference:
    """How many rows went and came, were answered otherwise, or are in another split; and some of each."""

    removed: int
    added: int
    changed: int
    moved: int
    same: int
    examples: Mapping[str, Sequence[Mapping[str, Any]]]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        counts = {name: getattr(self, name) for name in ("removed", "added", "changed", "moved", "same")}
        return {**counts, "examples": {name: list(found) for name, found in self.examples.items()}}


def difference(old: Dataset, new: Dataset, examples: int = 3) -> Difference:
    """Compare two datasets. A row asked the same and answered otherwise is changed, not removed and added."""
    before, after = identities(old), identities(new)
    kept, came = np.isin(before.rows, after.rows), ~np.isin(after.rows, before.rows)
    changed = _changed(before, after, kept, came)
    gone = ~kept & ~np.isin(before.prompts, changed)
    fresh = came & ~np.isin(after.prompts, changed)
    moved = _moved(before, after)
    told = {
        "removed": [*_shown(old, np.flatnonzero(gone)[:examples])],
        "added": [*_shown(new, np.flatnonzero(fresh)[:examples])],
        "changed": [*_pairs((old, before, ~kept), (new, after, came), changed[:examples])],
        "moved": [*_shown(new, np.flatnonzero(np.isin(after.rows, moved))[:examples])],
    }
    same = int(np.count_nonzero(kept)) - int(np.count_nonzero(np.isin(before.rows, moved)))
    return Difference(
        int(np.count_nonzero(gone)), int(np.count_nonzero(fresh)), len(changed), len(moved), same, told
    )


def _changed(before: Identities, after: Identities, kept: Any, came: Any) -> Numbers:
    """The prompts that stand once on each side, with another answer."""
    ours, ours_count = np.unique(before.prompts[~kept], return_counts=True)
    theirs, theirs_count = np.unique(after.prompts[came], return_counts=True)
    found: Numbers = np.intersect1d(ours[ours_count == 1], theirs[theirs_count == 1])
    return found


def _moved(before: Identities, after: Identities) -> Numbers:
    """The rows that stand on both sides, in another split."""
    both = np.intersect1d(before.rows, after.rows)
    where = [_first(one, both) for one in (before, after)]
    found: Numbers = both[where[0] != where[1]]
    return found


def _first(found: Identities, rows: Numbers) -> Any:
    known, places = np.unique(found.rows, return_index=True)
    return found.splits[places[np.searchsorted(known, rows)]]


def _shown(dataset: Dataset, places: Any) -> Iterator[dict[str, Any]]:
    wanted = {int(place) for place in places}
    for place, (split, line) in enumerate(every(dataset)) if wanted else ():
        if place in wanted:
            yield {"split": split, "row": _short(line)}


Side = tuple[Dataset, Identities, Any]
"""A dataset, what tells its rows apart, and which of them are not on the other side."""


def _pairs(old: Side, new: Side, prompts: Numbers) -> Iterator[dict[str, Any]]:
    for prompt in prompts:
        was, now = (
            next(_shown(dataset, np.flatnonzero((found.prompts == prompt) & only)[:1]))
            for dataset, found, only in (old, new)
        )
        yield {"split": now["split"], "row": was["row"], "now": now["row"]}


def _short(line: bytes) -> str:
    text = json.dumps(json.loads(line), ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
