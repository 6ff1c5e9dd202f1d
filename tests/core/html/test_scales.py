"""Scales: axes that hold their values and name round ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core.html.scales import Scale, around, tick_labels, ticks

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20)


@given(VALUES)
def test_an_axis_holds_every_value_it_was_made_for(values: list[float]) -> None:
    scale = around(values)
    assert scale.low < scale.high
    assert all(scale.low <= value <= scale.high for value in values)


@given(VALUES)
def test_ticks_lie_within_the_axis_and_are_named_apart(values: list[float]) -> None:
    scale = around(values)
    marks = ticks(scale)
    slack = (scale.high - scale.low) * 1e-6
    assert 1 <= len(marks) <= 12
    assert all(scale.low - slack <= mark <= scale.high + slack for mark in marks)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (1, 60, ["20", "40", "60"]),
        (0, 4200, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (-1, 1, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        (0, 2e-4, ["0", "5e−5", "1.0e−4", "1.5e−4", "2.0e−4"]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, labels: list[str]) -> None:
    assert tick_labels(ticks(Scale(low, high))) == labels


def test_amounts_leave_no_room_below_zero() -> None:
    assert around([0.0, 0.3]).low == 0
    assert around([-0.1, 0.3]).low < -0.1


def test_positions_are_shares_of_the_axis() -> None:
    assert Scale(20, 40).percent(25) == "25.00%"
    assert Scale(40, 20).percent(25) == "75.00%"
    assert Scale(20, 40).percent(50) == "100.00%"


def test_one_value_still_makes_an_axis() -> None:
    assert around([5.0]).percent(5.0) == "50.00%"
    assert around([]).low == 0
