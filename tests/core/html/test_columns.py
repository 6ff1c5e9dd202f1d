"""Histograms: a column is as high as its value says, and what it was before lies across it."""

from __future__ import annotations

from xml.etree import ElementTree

from llmops_core.html.columns import Column, columns


def drawn(*found: Column, bounds: int = 0) -> ElementTree.Element:
    names = [str(number) for number in range(bounds)]
    return ElementTree.fromstring(columns(found, names, about="<Rows>", x_title="x", y_title="y"))


def percents(plot: ElementTree.Element, look: str, name: str) -> list[float]:
    return [float(one.get(name, "").rstrip("%")) for one in plot.iter() if one.get("class") == look]


def test_columns_are_as_high_as_their_values_and_stand_on_the_axis() -> None:
    plot = drawn(Column(10, "ten"), Column(5, "five", before=10), Column(0, "none"))
    heights, tops = percents(plot, "column", "height"), percents(plot, "column", "y")
    assert heights[0] == heights[1] * 2 and heights[2] == 0
    assert all(abs(top + height - 100) < 0.02 for top, height in zip(tops, heights, strict=True))
    assert percents(plot, "before", "y1") == [tops[0]]
    assert [one.text for one in plot.iter("title")] == ["<Rows>", "ten", "five", "none"]


def test_bounds_lie_between_columns_and_few_of_many_are_named() -> None:
    plot = drawn(Column(1, ""), Column(2, ""), bounds=1)
    [label] = [one for one in plot.iter("text") if one.text == "0" and one.get("text-anchor") == "middle"]
    assert label.get("x") == "50.000%"
    many = drawn(*[Column(1, "")] * 41, bounds=40)
    assert len([one for one in many.iter("text") if one.get("text-anchor") == "middle"]) <= 7


def test_there_are_no_half_rows_on_the_axis() -> None:
    ticks = [one.text for one in drawn(Column(1, "one")).iter("text") if one.get("text-anchor") == "end"]
    assert ticks == ["0", "1", "x"]


def test_nothing_at_all_is_drawn_without_an_error() -> None:
    assert percents(drawn(Column(0, "")), "column", "height") == [0]
