"""Inline SVG plots that keep their text size at any width.

A plot is one `<svg>` without a viewBox: positions across are percentages, and curves lie in an inner
drawing that is stretched while their strokes are not. Labels hang outside its edges, into margins
that the style sheet leaves free. Colours come from the style sheet by class, so that one drawing
serves light, dark and paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmops_core.html.markup import Markup, element, joined
from llmops_core.html.scales import Scale, around, tick_labels, ticks

CURVE_UNITS = 1000
ROW = 46
"""Pixels from one row of an interval plot to the next."""
LINE_IN_ROW = 34
AXIS_ROOM = 12

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """Points from left to right, drawn as a line (`dots`: with a mark on each). `look` is a CSS class."""

    label: str
    points: Sequence[Point]
    look: str
    dots: bool = False


@dataclass(frozen=True)
class Interval:
    """A measured value with the bounds of its interval. `text` stands over it."""

    label: str
    text: str
    value: float
    low: float
    high: float
    look: str


@dataclass(frozen=True)
class Bound:
    """A limit on a value: `refuses` tells which side of it is out of bounds."""

    value: float
    refuses: str
    """ "above" or "below"."""


def curves(drawn: Sequence[Curve], *, about: str, x_title: str, y_title: str, height: int = 280) -> Markup:
    """Lines over common axes. `about` says in words what the plot shows."""
    points = [point for curve in drawn for point in curve.points]
    across = _span([x for x, _ in points])
    upward = around([y for _, y in points])
    return element(
        "svg",
        element("title", about),
        _upward_axis(upward, height),
        _across_axis(across, height),
        element("text", y_title, class_="axis-title", x=-46, y=-12),
        element("text", x_title, class_="axis-title", x="100%", y=height + 36, text_anchor="end"),
        [_curve(curve, across, upward) for curve in drawn],
        class_="plot curves",
        role="img",
        aria_label=about,
        height=height,
    )


def _span(values: Sequence[float]) -> Scale:
    """The axis from the first to the last value, where there are two that can be told apart."""
    fitted = around(values, margin=0)
    return fitted if len(set(values)) > 1 else around(values)


def _upward_axis(scale: Scale, height: int) -> Markup:
    values = ticks(scale, max(3, height // 50))
    return joined(
        (_gridline(scale, value), _upward_label(scale, value, label))
        for value, label in zip(values, tick_labels(values), strict=True)
    )


def _gridline(scale: Scale, value: float) -> Markup:
    y = Scale(scale.high, scale.low).percent(value)
    return element("line", class_="grid", x1="0", x2="100%", y1=y, y2=y)


def _upward_label(scale: Scale, value: float, label: str) -> Markup:
    y = Scale(scale.high, scale.low).percent(value)
    return element("text", label, class_="tick", x=-8, y=y, dy=4, text_anchor="end")


def _across_axis(scale: Scale, height: int) -> Markup:
    values = ticks(scale)
    line = element("line", class_="axis", x1="0", x2="100%", y1=height, y2=height)
    return joined(
        line,
        (
            (
                element("line", class_="axis", x1=x, x2=x, y1=height, y2=height + 4),
                element("text", label, class_="tick", x=x, y=height + 18, text_anchor="middle"),
            )
            for x, label in zip(map(scale.percent, values), tick_labels(values), strict=True)
        ),
    )


def _curve(curve: Curve, across: Scale, upward: Scale) -> Markup:
    falling = Scale(upward.high, upward.low)
    path = " ".join(
        f"{across.share(x) * CURVE_UNITS:.1f},{falling.share(y) * CURVE_UNITS:.1f}" for x, y in curve.points
    )
    line = element(
        "svg",
        element("polyline", points=path, class_=curve.look),
        viewBox=f"0 0 {CURVE_UNITS} {CURVE_UNITS}",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
        overflow="visible",
    )
    # A line needs two points to be seen.
    marked = curve.points if curve.dots or len(curve.points) == 1 else ()
    return joined(
        line if len(curve.points) > 1 else None,
        (
            element(
                "circle",
                element("title", f"{curve.label}: {y:.4g} at {x:,.0f}"),
                class_=curve.look,
                cx=across.percent(x),
                cy=falling.percent(y),
                r=4,
            )
            for x, y in marked
        ),
    )


def intervals(
    rows: Sequence[Interval], bounds: Sequence[Bound] = (), *, about: str, reference: float | None = None
) -> Markup:
    """Dots with whiskers over one axis; `bounds` are drawn with their refused side shaded.

    `reference` is a value that means "no difference", marked by a thin line.
    """
    marks = [bound.value for bound in bounds] + ([] if reference is None else [reference])
    scale = around([v for row in rows for v in (row.low, row.value, row.high)] + marks, margin=0.12)
    height = ROW * len(rows) + AXIS_ROOM
    return element(
        "svg",
        element("title", about),
        [_refused(bound, scale, height) for bound in bounds],
        _across_axis(scale, height),
        None if reference is None else _upright(scale.percent(reference), height, "reference"),
        [_upright(scale.percent(bound.value), height, "bound") for bound in bounds],
        [_whisker(row, scale, index * ROW) for index, row in enumerate(rows)],
        class_="plot intervals",
        role="img",
        aria_label=about,
        height=height,
    )


def _upright(x: str, height: int, look: str) -> Markup:
    return element("line", class_=look, x1=x, x2=x, y1=0, y2=height)


def _refused(bound: Bound, scale: Scale, height: int) -> Markup:
    at = scale.share(bound.value) * 100
    start, width = (at, 100 - at) if bound.refuses == "above" else (0.0, at)
    return element(
        "rect", class_="refused-side", x=f"{start:.2f}%", y=0, width=f"{width:.2f}%", height=height
    )


def _whisker(row: Interval, scale: Scale, top: int) -> Markup:
    y = top + LINE_IN_ROW
    low, high = scale.percent(row.low), scale.percent(row.high)
    label = (
        element("tspan", row.label, class_="row-label"),
        " ",
        element("tspan", row.text, class_="row-value"),
    )
    return element(
        "g",
        element("text", label, class_="row", x=0, y=top + 18),
        element("line", class_="whisker", x1=low, x2=high, y1=y, y2=y),
        element("line", class_="whisker", x1=low, x2=low, y1=y - 5, y2=y + 5),
        element("line", class_="whisker", x1=high, x2=high, y1=y - 5, y2=y + 5),
        element("circle", class_="dot", cx=scale.percent(row.value), cy=y, r=5.5),
        class_=row.look,
    )


def bar(share: float, look: str = "") -> Markup:
    """A bar as long as a share (0 to 1) of the room it is given. Beside a number: hidden from readers."""
    width = f"{100 * min(1.0, max(0.0, share)):.2f}%"
    return element(
        "svg",
        element("rect", class_="track", width="100%", height="100%", rx=3),
        element("rect", class_="fill", width=width, height="100%", rx=3) if share > 0 else None,
        class_=f"bar {look}".strip(),
        aria_hidden="true",
        height=10,
    )
