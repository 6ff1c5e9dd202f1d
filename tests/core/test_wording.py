"""Wording: numbers as a person would write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core import wording

SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.0842, "84 ms"),
        (0.9996, "1.0 s"),
        (1.14, "1.1 s"),
        (9.96, "10 s"),
        (59.6, "1 m 00 s"),
        (84.1, "1 m 24 s"),
        (3599.7, "1 h 00 m"),
        (7_512, "2 h 05 m"),
    ],
)
def test_durations_use_two_units_at_most(seconds: float, shown: str) -> None:
    assert wording.duration(seconds) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (2_100_000_000, "2.1 GB"),
        (93_400_000, "93.4 MB"),
        (538e6, "538 MB"),
        (999_700, "1.0 MB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_are_decimal(amount: float, shown: str) -> None:
    assert wording.size(amount) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.5623, "0.562"),
        (1.834, "1.83"),
        (21.44, "21.4"),
        (9.996, "10.0"),
        (1204.4, "1,204"),
        (0.0001, "0.0001"),
        (0.00005, "5e−5"),
        (-0.25, "−0.250"),
        (1.5e9, "1.5e9"),
    ],
)
def test_scores_keep_about_three_digits(value: float, shown: str) -> None:
    assert wording.score(value) == shown


def test_a_value_just_over_its_bound_does_not_look_equal_to_it() -> None:
    assert wording.apart(0.80004, 0.8) == "0.80004"
    assert wording.apart(0.9, 0.8) == "0.900"
    assert wording.apart(0.8, 0.8) == "0.800"


@given(st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_different_numbers_never_read_the_same(value: float, bound: float) -> None:
    shown = wording.apart(value, bound)
    assert value == bound or abs(value - bound) < 1e-13 * bound or shown != wording.score(bound)


def test_times_are_told_in_utc_and_unreadable_ones_as_they_are() -> None:
    assert wording.moment("2026-11-22T10:14:17+01:00") == "2026-11-22 09:14:17 UTC"
    assert wording.moment("2026-11-22T09:14:17Z") == "2026-11-22 09:14:17 UTC"
    assert wording.moment("yesterday") == "yesterday"


def test_changes_are_relative_to_before() -> None:
    assert wording.change(38.1, 21.4) == f"−44{SPACE}%"
    assert wording.change(100, 103.2) == f"+3.2{SPACE}%"
    assert wording.change(-2, -1) == f"+50{SPACE}%"
    assert wording.change(0, 1) == ""


def test_intervals_with_minus_signs_are_written_with_a_word() -> None:
    assert wording.interval(20.0, 23.1) == "20.0–23.1"
    assert wording.interval(-1.1, -0.1) == "−1.10 to −0.100"


def test_small_shares_are_not_shown_as_nothing() -> None:
    assert wording.share(1, 1000) == f"<1{SPACE}%"
    assert wording.share(0, 1000) == f"0{SPACE}%"
    assert wording.share(1, 0) == ""


def test_counts_agree_with_their_noun() -> None:
    assert wording.counted(1, "loss", "losses") == "1 loss"
    assert wording.counted(1962, "row") == "1,962 rows"
