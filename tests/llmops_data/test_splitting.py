"""Splits: no group torn, nothing moved by more rows, caps by chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_data.config import Exact, Near, Split, Splits
from llmops_data.exact import exact
from llmops_data.grouping import joined
from llmops_data.near import near
from llmops_data.rows import Link, Message, Row
from llmops_data.splitting import LEFT_OUT, NAMES, deal, time_of

SPLITS = Splits(Split(0.5), Split(0.25), Split(0.25))
TEXTS = st.lists(st.text(alphabet="abc ", min_size=1, max_size=14).filter(str.strip), min_size=1, max_size=30)


def made(texts: Sequence[str], start: int = 0) -> list[Row]:
    return [
        Row(str(number), (Message("user", text), Message("assistant", text)))
        for number, text in enumerate(texts, start)
    ]


def linked(rows: Sequence[Row], pairs: Sequence[tuple[int, int]]) -> list[Link]:
    return [Link(rows[a % len(rows)], rows[b % len(rows)], 0.9, dropped=False) for a, b in pairs]


def split_rows(config: Splits, rows: Sequence[Row], links: Sequence[Link]) -> dict[str, list[Row]]:
    """The rows of each split, in order."""
    dealt = list(zip(rows, deal(config, rows, links), strict=True))
    assert all(split < len(NAMES) or split == LEFT_OUT for _, split in dealt)
    return {name: [row for row, split in dealt if split == number] for number, name in enumerate(NAMES)}


def places(splits: dict[str, list[Row]]) -> dict[str, str]:
    return {row.origin: name for name, rows in splits.items() for row in rows}


@given(TEXTS, st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=30), st.integers(0, 9))
def test_no_linked_rows_ever_go_to_different_splits(
    texts: list[str], pairs: list[tuple[int, int]], seed: int
) -> None:
    rows = made(texts)
    links = linked(rows, pairs)
    where = places(split_rows(Splits(SPLITS.train, SPLITS.validation, SPLITS.test, seed), rows, links))
    assert set(where) == {row.origin for row in rows}
    assert all(where[link.first.origin] == where[link.second.origin] for link in links)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, action=st.sampled_from(["drop", "group"]))
def test_what_the_steps_find_alike_stays_together(run: StepRun, texts: list[str], action: str) -> None:
    config = Near(threshold=0.5, shingle=2, action=action)  # type: ignore[arg-type]
    first = exact(Exact(), run, rows=made(texts))
    second = near(config, run, rows=list(first.rows))
    links = [*first.links, *second.links]
    where = places(split_rows(SPLITS, second.rows, links))
    first_ends = np.array([int(link.first.origin) for link in links], np.int32)
    second_ends = np.array([int(link.second.origin) for link in links], np.int32)
    groups = joined(len(texts), first_ends, second_ends)
    splits_of_group: dict[int, set[str]] = {}
    for origin, split in where.items():
        splits_of_group.setdefault(int(groups[int(origin)]), set()).add(split)
    assert all(len(splits) == 1 for splits in splits_of_group.values())


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
def test_whatever_is_linked_through_others_is_one_group(pairs: list[tuple[int, int]]) -> None:
    groups = [{place} for place in range(20)]
    for first, second in pairs:
        whole = groups[first] | groups[second]
        for member in whole:
            groups[member] = whole
    ends = np.array(pairs, np.int32).reshape(-1, 2)
    assert joined(20, ends[:, 0], ends[:, 1]).tolist() == [min(group) for group in groups]


def test_a_dropped_row_still_ties_its_two_neighbours_together() -> None:
    # over many seeds, or the two might have met by chance
    rows = made(["one", "two", "three"])
    links = [Link(rows[0], rows[1], 0.9, dropped=True), Link(rows[1], rows[2], 0.9, dropped=False)]
    for seed in range(30):
        where = places(
            split_rows(Splits(SPLITS.train, SPLITS.validation, SPLITS.test, seed), [rows[0], rows[2]], links)
        )
        assert where["0"] == where["2"]


@given(TEXTS, TEXTS)
def test_rows_added_at_the_end_move_no_old_ones(texts: list[str], more: list[str]) -> None:
    rows, added = made(texts), made(more, start=len(texts))
    links = linked(rows, [(0, 1), (2, 3)])
    before = places(split_rows(SPLITS, rows, links))
    joining = [*links, Link(rows[0], added[0], 0.9, dropped=False)]
    after = places(split_rows(SPLITS, [*rows, *added], joining))
    assert {origin: after[origin] for origin in before} == before


def test_shares_are_kept_among_many_rows_and_need_not_sum_to_one() -> None:
    rows = made([f"text {number}" for number in range(4000)])
    counts = {
        name: len(found) for name, found in split_rows(Splits(Split(6), Split(2), Split(2)), rows, []).items()
    }
    assert abs(counts["train"] - 2400) < 120
    assert abs(counts["test"] - 800) < 90
    assert not split_rows(Splits(Split(1), Split(0), Split(0)), rows, [])["test"]


def test_a_cap_chooses_by_seed_and_keeps_most_of_its_choice_among_more_rows() -> None:
    rows = made([f"text {number}" for number in range(1100)])

    def chosen(count: int, seed: int) -> list[int]:
        splits = Splits(Split(1.0, max_rows=100), Split(0), Split(0), seed)
        return [int(row.origin) for row in split_rows(splits, rows[:count], [])["train"]]

    first = chosen(1000, 0)
    assert len(first) == 100
    assert first == sorted(first)
    assert max(first) > 500
    assert first != chosen(1000, 1)
    assert len(set(first) & set(chosen(1100, 0))) > 75


def with_facts(count: int, **facts: Callable[[int], Any]) -> list[Row]:
    return [
        dataclasses.replace(row, facts={name: make(number) for name, make in facts.items()})
        for number, row in enumerate(made([f"text {number}" for number in range(count)]))
    ]


@pytest.mark.parametrize(
    "when",
    [
        lambda n: f"2026-01-{n % 28 + 1:02d}",
        lambda n: f"2026-03-01T{n % 24:02d}:00:00+02:00",
        lambda n: (n * 37) % 100,
    ],
)
def test_by_time_the_newest_rows_are_the_tests(when: Callable[[int], Any]) -> None:
    rows = with_facts(100, date=when)
    splits = split_rows(dataclasses.replace(SPLITS, by="time", time="date"), rows, [])
    assert [len(splits[name]) for name in NAMES] == [50, 25, 25]
    times = {name: [time_of(row, "date") for row in found] for name, found in splits.items()}
    assert max(times["train"]) <= min(times["validation"])
    assert max(times["validation"]) <= min(times["test"])


def test_by_time_a_group_is_as_old_as_its_newest_row() -> None:
    rows = with_facts(100, date=lambda n: n)
    splits = split_rows(dataclasses.replace(SPLITS, by="time", time="date"), rows, linked(rows, [(0, 99)]))
    where = places(splits)
    assert where["0"] == where["99"] == "test"
    assert where["1"] == "train"


def test_stratified_each_value_has_its_share_in_every_split() -> None:
    rows = with_facts(400, label=lambda n: "rare" if n % 20 == 0 else "usual")
    splits = split_rows(dataclasses.replace(SPLITS, stratify="label"), rows, linked(rows, [(0, 1), (2, 3)]))
    rare = {name: sum(row.facts["label"] == "rare" for row in found) for name, found in splits.items()}
    assert [rare[name] for name in NAMES] == pytest.approx([10, 5, 5], abs=1)
    assert [len(splits[name]) for name in NAMES] == pytest.approx([200, 100, 100], abs=2)
    where = places(splits)
    assert where["0"] == where["1"] and where["2"] == where["3"]


def test_rows_without_the_fact_a_split_goes_by_are_named() -> None:
    rows = [*with_facts(3, date=lambda n: n), *made(["x"], start=3)]
    by_time = dataclasses.replace(SPLITS, by="time", time="date")
    with pytest.raises(DataError, match=r"3: it has no date.*keep: \[date\]"):
        split_rows(by_time, rows, [])
    with pytest.raises(DataError, match=r"3: it has no date"):
        split_rows(dataclasses.replace(SPLITS, stratify="date"), rows, [])
    with pytest.raises(DataError, match=r"'yesterday' is no date.*2026-11-20"):
        split_rows(by_time, with_facts(1, date=lambda n: "yesterday"), [])


def test_a_split_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="say both"):
        Splits(by="time")
    with pytest.raises(ValueError, match="say both"):
        Splits(time="date")
    with pytest.raises(ValueError, match="cannot be stratified"):
        Splits(by="time", time="date", stratify="label")
