"""What a random split would have leaked."""

from __future__ import annotations

from llmops_data.config import Split, Splits
from llmops_data.leakage import leaked
from llmops_data.rows import Link, Message, Row
from llmops_data.splitting import chance

HALVES = Splits(Split(0.5), Split(0.0), Split(0.5))


def made(count: int) -> list[Row]:
    return [Row(str(n), (Message("user", f"q{n}"), Message("assistant", "a"))) for n in range(count)]


def in_test(row: Row) -> bool:
    return chance(f"{HALVES.seed} random {row.origin}") < 0.5


def test_copies_of_one_row_leak_all_their_test_rows() -> None:
    rows = made(100)
    copies = [Link(rows[0], row, 1.0, dropped=True) for row in rows[1:50]]
    found = leaked(HALVES, rows, {"exact": copies})
    assert found.test == sum(map(in_test, rows))
    assert found.by_step == {"exact": sum(map(in_test, rows[:50]))}
    assert f"{found.by_step['exact']} would have had a copy in training" in str(found)


def test_a_neighbour_leaks_only_across_the_split_and_not_through_another() -> None:
    rows = made(60)
    test = [row for row in rows if in_test(row)]
    train = [row for row in rows if not in_test(row)]
    within = Link(test[0], test[1], 0.9, dropped=True)
    across = Link(train[0], test[2], 0.9, dropped=True)
    beyond = Link(test[2], test[3], 0.9, dropped=True)
    assert leaked(HALVES, rows, {"near": [within]}).by_step == {"near": 0}
    assert leaked(HALVES, rows, {"near": [across, beyond]}).by_step == {"near": 1}


def test_each_row_counts_for_the_first_step_that_finds_it() -> None:
    rows = made(60)
    test = next(row for row in rows if in_test(row))
    train = [row for row in rows if not in_test(row)]
    links = {
        "exact": [Link(train[0], test, 1.0, dropped=True)],
        "questions": [Link(train[1], test, 1.0, dropped=False)],
    }
    found = leaked(HALVES, rows, links)
    assert found.by_step == {"exact": 1, "questions": 0}
    assert "resemble" not in str(found)


def test_a_step_that_only_groups_is_told_apart() -> None:
    rows = made(60)
    test = next(row for row in rows if in_test(row))
    train = next(row for row in rows if not in_test(row))
    found = leaked(HALVES, rows, {"questions": [Link(train, test, 1.0, dropped=False)]})
    assert str(found).endswith(
        "0 would have had a copy in training, and 1 more one that they resemble (1 by questions)"
    )
