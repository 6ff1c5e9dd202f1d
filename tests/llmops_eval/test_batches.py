from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from llmops_eval.batches import by_length, evenly_spread


@given(some.integers(0, 500), some.none() | some.integers(1, 600))
def test_chosen_rows_are_spread_evenly(count: int, limit: int | None) -> None:
    chosen = evenly_spread(count, limit)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == (count if limit is None else min(count, limit))
    gaps = {after - before for before, after in zip([*chosen, count], [*chosen[1:], count], strict=False)} - {
        0
    }
    assert not chosen or max(gaps) - min(gaps) <= 1


@given(
    some.lists(some.integers(1, 60), max_size=40), some.integers(1, 100), some.none() | some.integers(1, 9)
)
def test_batches_hold_each_row_once_and_keep_to_the_limits(
    widths: list[int], max_tokens: int, max_rows: int | None
) -> None:
    batches = by_length(range(len(widths)), widths.__getitem__, max_tokens=max_tokens, max_rows=max_rows)
    assert sorted(place for batch in batches for place in batch) == list(range(len(widths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(widths[place] for place in batch) <= max_tokens
        assert max_rows is None or len(batch) <= max_rows
    widest = [max(widths[place] for place in batch) for batch in batches]
    assert widest == sorted(widest, reverse=True)
