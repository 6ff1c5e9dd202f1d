"""The loss curve of each training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Model
from llmops_report import charts, reading
from llmops_report.comparison import legend
from llmops_report.facts import Facts, of_kind
from llmops_report.markup import Content, Markup, element

MOST_POINTS = 600
"""Points of a curve that are drawn; more are averaged in neighbourhoods."""
SMOOTHING_SHARE = 1 / 10
"""How much of the whole curve each point of the smoothed one is the mean of."""
RATE_HEIGHT = 90


def training(facts: Facts) -> Iterator[Markup]:
    """One part for each step whose model kept a training log."""
    found = [(name, model.folder / "training.jsonl") for name, model in of_kind(facts, Model)]
    logs = [(name, path) for name, path in found if path.exists()]
    for name, path in logs:
        read = reading.json_lines(path)
        yield element(
            "section",
            element("h2", f"Training: {name}" if len(logs) > 1 else "Training"),
            *_plots(read.rows),
            element("p", read.trouble, class_="trouble") if read.trouble else None,
        )


def _plots(rows: Sequence[Mapping[str, Any]]) -> Iterator[Content]:
    loss, validation = series(rows, "loss"), series(rows, "validation_loss")
    if not loss and not validation:
        yield element("p", "Nothing was logged.", class_="muted")
        return
    yield element("p", _told(loss, validation), class_="lead")
    drawn, keys = _drawn(loss, validation)
    yield legend(keys)
    about = "Loss by optimizer step. " + _told(loss, validation)
    yield charts.curves(drawn, about=about, x_title="optimizer step", y_title="loss (nats per token)")
    rate = series(rows, "lr")
    if len(rate) > 1:
        told = f"Learning rate, highest {max(value for _, value in rate):.3g}."
        curve = charts.Curve("learning rate", thinned(rate), "rate")
        yield charts.curves(
            [curve], about=told, x_title="optimizer step", y_title="learning rate", height=RATE_HEIGHT
        )
    broken = sum(_is_broken(row, key) for row in rows for key in ("loss", "validation_loss"))
    if broken:
        yield element("p", _broken_told(broken), class_="trouble")


def _drawn(
    loss: Sequence[charts.Point], validation: Sequence[charts.Point]
) -> tuple[Sequence[charts.Curve], Sequence[tuple[str, str]]]:
    drawn, keys = [], []
    if loss:
        shown = thinned(loss)
        drawn += [
            charts.Curve("loss", shown, "raw"),
            charts.Curve("smoothed loss", smoothed(shown), "smooth"),
        ]
        each = math.ceil(len(loss) / MOST_POINTS)
        raw = "training loss, each step" if each == 1 else f"training loss, means of {each} steps"
        keys += [("raw", raw), ("smooth", "smoothed, every step counting the same")]
    if validation:
        drawn.append(charts.Curve("validation loss", thinned(validation), "validation", dots=True))
        keys.append(("validation", "validation loss"))
    return drawn, keys


def _told(loss: Sequence[charts.Point], validation: Sequence[charts.Point]) -> str:
    told = []
    if loss:
        first, last = (wording.score(value) for value in _ends(loss))
        steps = wording.counted(round(loss[-1][0]), "step")
        told.append(f"Training loss went from {first} to {last} in {steps}.")
    if validation:
        step, value = min(validation, key=lambda point: point[1])
        told.append(f"The best validation loss was {wording.score(value)}, at step {wording.count(step)}.")
    return " ".join(told)


def _ends(points: Sequence[charts.Point]) -> tuple[float, float]:
    """The means of the first and the last few values: single steps are noisy."""
    few = max(1, int(len(points) * SMOOTHING_SHARE / 2))
    return _mean([value for _, value in points[:few]]), _mean([value for _, value in points[-few:]])


def series(rows: Sequence[Mapping[str, Any]], key: str) -> Sequence[charts.Point]:
    """(step, value) in order of steps. A step logged twice, as after a resume, counts as last logged."""
    points: dict[float, float] = {}
    for row in rows:
        step, value = reading.number(row, "step"), reading.number(row, key)
        if step is not None and value is not None:
            points[step] = value
    return sorted(points.items())


def _broken_told(broken: int) -> str:
    return f"{wording.counted(broken, 'loss was', 'losses were')} no finite number."


def _is_broken(row: Mapping[str, Any], key: str) -> bool:
    return key in row and reading.number(row, key) is None


def smoothed(points: Sequence[charts.Point]) -> Sequence[charts.Point]:
    """The mean of each point's neighbourhood on both sides, so that it does not lag behind the points."""
    reach = int(len(points) * SMOOTHING_SHARE / 2)
    values = [value for _, value in points]
    return [
        (step, _mean(values[max(0, index - reach) : index + reach + 1]))
        for index, (step, _) in enumerate(points)
    ]


def thinned(points: Sequence[charts.Point]) -> Sequence[charts.Point]:
    """At most MOST_POINTS points: each the mean of its neighbourhood."""
    each = math.ceil(len(points) / MOST_POINTS)
    if each <= 1:
        return points
    groups = [points[start : start + each] for start in range(0, len(points), each)]
    return [(_mean([x for x, _ in group]), _mean([y for _, y in group])) for group in groups]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
