"""The loss curve of each training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Model
from llmops_core.html import charts
from llmops_core.html.markup import Content, Markup, element
from llmops_report import reading
from llmops_report.comparison import legend
from llmops_report.facts import Facts, of_kind

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
    weights = _weights(loss, dict(series(rows, "loss_tokens")))
    told = _told(loss, validation, weights)
    yield element("p", told, class_="lead")
    drawn, keys = _drawn(loss, validation, weights)
    yield legend(keys)
    about = "Loss by optimizer step. " + told
    yield charts.curves(drawn, about=about, x_title="optimizer step", y_title="mean loss of what is learned")
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
    loss: Sequence[charts.Point], validation: Sequence[charts.Point], weights: Sequence[float]
) -> tuple[Sequence[charts.Curve], Sequence[tuple[str, str]]]:
    drawn, keys = [], []
    if loss:
        shown = thinned(loss, weights)
        drawn += [
            charts.Curve("loss", shown, "raw"),
            charts.Curve("smoothed loss", smoothed(shown, _thinned_weights(weights)), "smooth"),
        ]
        each = math.ceil(len(loss) / MOST_POINTS)
        # the rows of a step are judged by the weights that the step then changes
        raw = "training loss, " + ("each step's rows before it" if each == 1 else f"means of {each} steps")
        even = len(set(weights)) == 1
        keys += [
            ("raw", raw),
            ("smooth", "smoothed, " + ("every step counting the same" if even else "by tokens with loss")),
        ]
    if validation:
        drawn.append(charts.Curve("validation loss", thinned(validation), "validation", dots=True))
        keys.append(("validation", "validation loss, the same held-out rows each time"))
    return drawn, keys


def _told(loss: Sequence[charts.Point], validation: Sequence[charts.Point], weights: Sequence[float]) -> str:
    told = []
    if loss:
        first, last = (wording.score(value) for value in _ends(loss, weights))
        steps = wording.counted(round(loss[-1][0]), "step")
        told.append(f"Training loss went from {first} to {last} in {steps}.")
    if validation:
        step, value = min(validation, key=lambda point: point[1])
        told.append(f"The best validation loss was {wording.score(value)}, at step {wording.count(step)}.")
    return " ".join(told)


def _ends(points: Sequence[charts.Point], weights: Sequence[float]) -> tuple[float, float]:
    """The means of the first and the last few values: single steps are noisy."""
    few = max(1, int(len(points) * SMOOTHING_SHARE / 2))
    return _mean_of(points[:few], weights[:few]), _mean_of(points[-few:], weights[-few:])


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


def _weights(points: Sequence[charts.Point], tokens: Mapping[float, float]) -> Sequence[float]:
    """How much each step counts: the tokens its loss is the mean of, where all steps tell them."""
    found = [tokens.get(step, 0.0) for step, _ in points]
    return found if all(weight > 0 for weight in found) else [1.0] * len(found)


def smoothed(
    points: Sequence[charts.Point], weights: Sequence[float] | None = None
) -> Sequence[charts.Point]:
    """The mean of each point's neighbourhood on both sides, so that it does not lag behind the points."""
    reach = int(len(points) * SMOOTHING_SHARE / 2)
    weights = weights or [1.0] * len(points)
    return [
        (
            step,
            _mean_of(
                points[max(0, at - reach) : at + reach + 1], weights[max(0, at - reach) : at + reach + 1]
            ),
        )
        for at, (step, _) in enumerate(points)
    ]


def thinned(points: Sequence[charts.Point], weights: Sequence[float] | None = None) -> Sequence[charts.Point]:
    """At most MOST_POINTS points: each the mean of its neighbourhood."""
    each = math.ceil(len(points) / MOST_POINTS)
    if each <= 1:
        return points
    weights = weights or [1.0] * len(points)
    places = [slice(start, start + each) for start in range(0, len(points), each)]
    return [
        (_mean([step for step, _ in points[place]]), _mean_of(points[place], weights[place]))
        for place in places
    ]


def _thinned_weights(weights: Sequence[float]) -> Sequence[float]:
    each = max(1, math.ceil(len(weights) / MOST_POINTS))
    return [math.fsum(weights[start : start + each]) for start in range(0, len(weights), each)]


def _mean_of(points: Sequence[charts.Point], weights: Sequence[float]) -> float:
    total = math.fsum(value * weight for (_, value), weight in zip(points, weights, strict=True))
    return total / math.fsum(weights)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
