"""Which of the duplicates found are worth showing, with their texts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from llmops_data.grouping import tied
from llmops_data.pipeline import Passed
from llmops_data.rows import Link

LONGEST = 5000
"""Characters of a text."""


class Telling(NamedTuple):
    """A link, and how many duplicates its first row has."""

    link: Link
    copies: int


def examples(count: int, passed: Sequence[Passed]) -> Iterator[dict[str, Any]]:
    """The most telling duplicates of each step: the unequal ones, then the most copied."""
    steps = sum(bool(one.links) for one in passed)
    for before, one in pairwise(passed):
        if not one.links:
            continue
        chosen = telling(one.links, count // steps)
        wanted = {row.origin for link, _ in chosen for row in (link.first, link.second)}
        texts = {row.origin: row.text[:LONGEST] for row in before.rows if row.origin in wanted}
        for link, copies in chosen:
            yield {
                "step": one.name,
                "done": "left out" if link.dropped else "kept together",
                "similarity": link.similarity,
                "copies": copies,
                "first": f"{link.first.origin}: {texts.get(link.first.origin, '')}",
                "second": f"{link.second.origin}: {texts.get(link.second.origin, '')}",
            }


def telling(links: Iterable[Link], count: int) -> Sequence[Telling]:
    """The links to show, of each first row one for each of its similarities. Goes over the links twice."""
    similar = array("d")

    def watched() -> Iterator[Link]:
        for link in links:
            similar.append(link.similarity)
            yield link

    ties = tied(watched())
    _, member, sizes = np.unique(ties.firsts, return_inverse=True, return_counts=True)
    copies, alike = sizes[member], np.frombuffer(similar)
    order = np.lexsort((alike, member))
    again = (member[order][1:] == member[order][:-1]) & (alike[order][1:] == alike[order][:-1])
    each = np.sort(order[np.concatenate(([True], ~again))]) if len(order) else order
    ranked = each[np.lexsort((-copies[each], ties.equal[each]))][:count]
    wanted = set(ranked.tolist())
    found = {place: link for place, link in enumerate(links) if place in wanted}
    return [Telling(found[place], int(copies[place])) for place in ranked.tolist()]
