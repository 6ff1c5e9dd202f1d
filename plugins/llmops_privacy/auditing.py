"""The audit `personal_data` that a dataset passes before a tag moves to it: what of it is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from llmops_privacy.config import PATTERN_KINDS, PersonalData
from llmops_privacy.finding import find
from llmops_privacy.recognisers import groups


def personal_data(rows: Iterable[Sequence[str]]) -> Mapping[str, int]:
    """How many things of each kind the pattern tier finds in rows, of each the list of its texts."""
    usual = PersonalData()
    patterns = groups(frozenset(PATTERN_KINDS), tuple(usual.regions))
    found = Counter(one.kind for texts in rows for text in texts for one in find(text, patterns, usual.least))
    return dict(sorted(found.items()))
