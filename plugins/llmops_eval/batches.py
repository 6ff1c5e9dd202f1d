"""Which rows are scored, and which of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def evenly_spread(count: int, limit: int | None) -> list[int]:
    """At most `limit` of `count` places, in order, spread over all of them; no chance, no seed."""
    if limit is None or limit >= count:
        return list(range(count))
    return [place * count // limit for place in range(limit)]


def by_length(
    places: Sequence[int], width: Callable[[int], int], *, max_tokens: int, max_rows: int | None = None
) -> list[list[int]]:
    """Batches of rows of like width, widest first: little is padding, and no long one is left for last.

    A batch has at most `max_tokens` tokens, padding included, and `max_rows` rows; a row wider than
    that is a batch of its own.
    """
    batches: list[list[int]] = []
    widest = 0
    for place in sorted(places, key=lambda place: (-width(place), place)):
        full = batches and (
            (len(batches[-1]) + 1) * widest > max_tokens
            or (max_rows is not None and len(batches[-1]) == max_rows)
        )
        if not batches or full:
            batches.append([])
            widest = width(place)
        batches[-1].append(place)
    return batches
