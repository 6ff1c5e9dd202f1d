"""Charts: marks lie where their values say, and words say the same."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from llmops_core.html.charts import Bound, Curve, Interval, bar, curves, intervals


def drawn(svg: str) -> ElementTree.Element:
    """An SVG read back; also shows that it is well-formed."""
    return ElementTree.fromstring(svg)


def percent(shown: str | None) -> float:
    assert shown is not None
    return float(shown.removesuffix("%"))


def polyline(svg: ElementTree.Element, look: str) -> list[tuple[float, float]]:
    points = next(line.get("points", "") for line in svg.iter("polyline") if line.get("class") == look)
    return [tuple(map(float, pair.split(","))) for pair in points.split()]  # type: ignore[misc]


def loss_plot(*drawings: Curve) -> ElementTree.Element:
    return drawn(curves(drawings, about="Loss <by> step", x_title="step", y_title="loss"))


def test_a_falling_loss_is_drawn_falling_from_edge_to_edge() -> None:
    points = polyline(loss_plot(Curve("loss", [(1, 3.0), (2, 2.0), (5, 1.0)], "raw")), "raw")
    assert [x for x, _ in points] == [0, 250, 1000]
    heights = [y for _, y in points]
    assert heights == sorted(heights) and heights[0] > 0 and heights[-1] < 1000


def test_curves_share_their_axes() -> None:
    plot = loss_plot(
        Curve("loss", [(1, 3.0), (9, 1.0)], "raw"), Curve("validation", [(1, 3.0), (5, 2.0)], "smooth")
    )
    assert polyline(plot, "raw")[0] == polyline(plot, "smooth")[0]
    assert polyline(plot, "smooth")[1][0] == 500


def test_dots_lie_on_their_line_and_tell_their_value() -> None:
    plot = loss_plot(Curve("validation loss", [(10, 2.0), (20, 1.5)], "validation", dots=True))
    line = polyline(plot, "validation")
    dots = [(percent(dot.get("cx")) * 10, percent(dot.get("cy")) * 10) for dot in plot.iter("circle")]
    assert all(
        abs(a - b) < 0.11
        for dot, point in zip(dots, line, strict=True)
        for a, b in zip(dot, point, strict=True)
    )
    assert [title.text for title in plot.iter("title")][1:] == [
        "validation loss: 2 at 10",
        "validation loss: 1.5 at 20",
    ]


def test_a_single_point_is_drawn_as_a_dot() -> None:
    plot = loss_plot(Curve("loss", [(1, 3.0)], "raw"))
    assert len(list(plot.iter("circle"))) == 1
    assert not list(plot.iter("polyline"))


def test_axes_are_titled_and_the_plot_is_described() -> None:
    plot = loss_plot(Curve("loss", [(1, 3.0), (2, 2.0)], "raw"))
    words = {text.text for text in plot.iter("text")}
    assert {"step", "loss"} <= words
    assert plot.get("role") == "img"
    assert plot.get("aria-label") == "Loss <by> step"


ROWS = (
    Interval("baseline", "38.1 (35.9-40.6)", 38.1, 35.9, 40.6, "baseline"),
    Interval("candidate", "21.4 (20.0-23.1)", 21.4, 20.0, 23.1, "candidate"),
)


def test_whiskers_reach_from_low_to_high_around_their_dot() -> None:
    plot = drawn(intervals(ROWS, about="perplexity"))
    groups = {group.get("class"): group for group in plot.iter("g")}
    low, high = (percent(next(groups["candidate"].iter("line")).get(edge)) for edge in ("x1", "x2"))
    dot = percent(next(groups["candidate"].iter("circle")).get("cx"))
    assert low < dot < high
    assert abs((dot - low) / (high - low) - 1.4 / 3.1) < 0.01
    assert percent(next(groups["baseline"].iter("circle")).get("cx")) > high


def test_the_refused_side_of_a_bound_is_shaded() -> None:
    for refuses, beyond in (("above", 50.0), ("below", 10.0)):
        plot = drawn(intervals(ROWS, [Bound(30.0, refuses)], about="perplexity"))
        shade = next(rect for rect in plot.iter("rect") if rect.get("class") == "refused-side")
        mark = next(line for line in plot.iter("line") if line.get("class") == "bound")
        start, width = percent(shade.get("x")), percent(shade.get("width"))
        edge = percent(mark.get("x1"))
        assert (start, start + width) == ((edge, 100.0) if beyond > 30 else (0.0, edge))


def test_an_axis_reaches_a_bound_and_a_reference_beyond_the_values() -> None:
    ratio = [Interval("candidate", "0.56", 0.56, 0.51, 0.62, "candidate")]
    plot = drawn(intervals(ratio, [Bound(0.8, "above")], about="ratio", reference=1.0))
    marks = {line.get("class"): percent(line.get("x1")) for line in plot.iter("line")}
    assert marks["bound"] < marks["reference"] < 100


def test_a_bar_is_as_long_as_its_share_and_never_longer_than_its_room() -> None:
    widths = [re.findall(r'class="fill" width="([^"]+)"', bar(share)) for share in (0.5, 1.7, 0.0)]
    assert widths == [["50.00%"], ["100.00%"], []]
