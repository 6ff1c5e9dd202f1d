"""A histogram: columns side by side over an axis that names the bounds between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmops_core.html.markup import Markup, element
from llmops_core.html.scales import Scale, tick_labels, ticks

MOST_LABELS = 7
ROOM = 1.06
"""The axis reaches a little higher than the highest column."""


@dataclass(frozen=True)
class Column:
    """How high a column is, what its tooltip says, and how high it was before (drawn as a line across it)."""

    height: float
    told: str
    before: float | None = None


def columns(
    drawn: Sequence[Column], bounds: Sequence[str], *, about: str, x_title: str, y_title: str
) -> Markup:
    """Columns from left to right. `bounds` are the names of the places between them: one fewer than columns.

    `about` says in words what the plot shows.
    """
    high = 220
    known = [value for one in drawn for value in (one.height, one.before) if value is not None]
    upward = Scale(0.0, max([*known, 0.0]) * ROOM or 1.0)
    return element(
        "svg",
        element("title", about),
        _upward(upward, high),
        [_column(one, number, len(drawn), upward) for number, one in enumerate(drawn)],
        element("line", class_="axis", x1="0", x2="100%", y1=high, y2=high),
        _bounds(bounds, len(drawn), high),
        element("text", y_title, class_="axis-title", x=-46, y=-12),
        element("text", x_title, class_="axis-title", x="100%", y=high + 36, text_anchor="end"),
        class_="plot columns",
        role="img",
        aria_label=about,
        height=high,
    )


def _upward(scale: Scale, high: int) -> list[Markup]:
    # of fewer than a few things there are no halves
    values = [value for value in ticks(scale, 4) if scale.high > 4 or value.is_integer()]
    found = []
    for value, label in zip(values, tick_labels(values), strict=True):
        y = f"{100 - 100 * scale.share(value):.2f}%"
        found.append(element("line", class_="grid", x1="0", x2="100%", y1=y, y2=y))
        found.append(element("text", label, class_="tick", x=-8, y=y, dy=4, text_anchor="end"))
    return found


def _column(one: Column, number: int, count: int, scale: Scale) -> Markup:
    each = 100 / count
    gap = each * 0.06
    top = 100 - 100 * scale.share(one.height)
    left, width = f"{number * each + gap:.3f}%", f"{each - 2 * gap:.3f}%"
    parts = [
        element("rect", class_="column", x=left, width=width, y=f"{top:.2f}%", height=f"{100 - top:.2f}%")
    ]
    if one.before is not None:
        y = f"{100 - 100 * scale.share(one.before):.2f}%"
        ends = {"x1": f"{number * each:.3f}%", "x2": f"{(number + 1) * each:.3f}%"}
        parts.append(element("line", class_="before", y1=y, y2=y, **ends))
    # a low column is hard to point at: the whole height tells
    whole = element(
        "rect", class_="touch", x=f"{number * each:.3f}%", width=f"{each:.3f}%", y=0, height="100%"
    )
    return element("g", element("title", one.told), *parts, whole)


def _bounds(bounds: Sequence[str], count: int, high: int) -> list[Markup]:
    every = max(1, -(-len(bounds) // MOST_LABELS))
    found = []
    for number in range(0, len(bounds), every):
        x = f"{100 * (number + 1) / count:.3f}%"
        found.append(element("line", class_="axis", x1=x, x2=x, y1=high, y2=high + 4))
        found.append(element("text", bounds[number], class_="tick", x=x, y=high + 18, text_anchor="middle"))
    return found
