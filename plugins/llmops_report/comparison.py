"""Before and after: every score with its interval and its gate, and answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Scores
from llmops_core.html import charts
from llmops_core.html.markup import Content, Markup, breakable, element
from llmops_report import reading
from llmops_report.facts import Facts, Gate, gates, of_kind

OPEN_SAMPLES = 3
SAMPLES = 20
LONGEST_TEXT = 4000
"""Characters of an answer that are shown."""
NO_DIFFERENCE = {"_ratio": 1.0, "_gain": 0.0}


def comparison(facts: Facts) -> Iterator[Markup]:
    """One part for each step that measured."""
    several = sum(1 for _ in of_kind(facts, Scores)) > 1
    for name, scores in of_kind(facts, Scores):
        asked = {gate.score: gate for gate in gates(facts)}
        ordered = [score for score in asked if score in scores.values]
        ordered += [score for score in scores.values if score not in asked]
        panels = [_panel(score, scores, asked.get(score)) for score in ordered]
        yield element(
            "section",
            element("h2", f"Before and after: {name}" if several else "Before and after"),
            element("p", _lead(scores), class_="lead"),
            _legend(bool(scores.baseline), bool(asked)),
            element("div", *panels, class_="panels"),
            _samples(scores),
        )


def _lead(scores: Scores) -> str:
    told = f"Measured on {wording.counted(scores.rows, 'row')} that training never saw."
    return f"{told} Whiskers are 95 % bootstrap intervals."


def _legend(has_baseline: bool, has_gates: bool) -> Markup:
    keys = [("candidate", "candidate: the model of this run")]
    if has_baseline:
        keys.insert(0, ("baseline", "baseline: the model it came from"))
    if has_gates:
        keys.append(("gate", "gate, its refused side shaded"))
    return legend(keys)


def legend(keys: Sequence[tuple[str, str]]) -> Markup:
    """What a plot's marks mean: (CSS class, words) for each."""
    swatches = ((element("span", class_=f"swatch {look}", aria_hidden="true"), words) for look, words in keys)
    return element("ul", *(element("li", *swatch) for swatch in swatches), class_="legend")


def _panel(score: str, scores: Scores, gate: Gate | None) -> Markup:
    measured = [
        _interval("baseline", reading.mapping(scores.baseline, score)),
        _interval("candidate", reading.mapping(scores.values, score)),
    ]
    rows = [row for row in measured if row is not None]
    about = f"{score}: " + "; ".join(f"{row.label} {row.text}" for row in rows)
    reference = next((value for ending, value in NO_DIFFERENCE.items() if score.endswith(ending)), None)
    plot = charts.intervals(rows, _bounds(gate), about=about, reference=reference) if rows else None
    better = reading.text(reading.mapping(scores.values, score), "better")
    return element(
        "div",
        element(
            "div",
            element("h3", breakable(score)),
            element("span", f"{better} is better", class_="muted small") if better else None,
            class_="panel-head",
        ),
        element("p", _gate_chip(gate), _change(score, scores, rows, better), class_="panel-told"),
        plot or element("p", "No value was recorded.", class_="muted"),
        class_="panel",
    )


def _interval(label: str, record: Mapping[str, Any]) -> charts.Interval | None:
    value, low, high = (reading.number(record, key) for key in ("value", "low", "high"))
    if value is None:
        return None
    shown = wording.score(value)
    if low is None or high is None:
        return charts.Interval(label, shown, value, value, value, label)
    return charts.Interval(label, f"{shown} ({wording.interval(low, high)})", value, low, high, label)


def _bounds(gate: Gate | None) -> Sequence[charts.Bound]:
    if gate is None:
        return ()
    known = ((gate.at_most, "above"), (gate.at_least, "below"))
    return [charts.Bound(value, refuses) for value, refuses in known if value is not None]


def _gate_chip(gate: Gate | None) -> Content:
    if gate is None:
        return None
    if gate.passed:
        return element("span", f"\N{CHECK MARK} {gate.shown_value}, {gate.rule}", class_="chip done")
    missed = f", missed by {wording.score(gate.missed_by)}" if gate.missed_by else ""
    return element(
        "span", f"\N{MULTIPLICATION X} {gate.shown_value}, {gate.rule}{missed}", class_="chip refused"
    )


def _change(score: str, scores: Scores, rows: Sequence[charts.Interval], better: str) -> Content:
    if len(rows) < 2:
        return None
    before, after = rows
    if before.value == after.value:
        return element("span", "unchanged", class_="muted")
    changed = wording.change(before.value, after.value)
    clear, doubt = _is_clear(score, scores, before, after)
    if not clear:
        return element("span", f"{changed}, {doubt}".lstrip(", "), class_="muted")
    improved = (after.value < before.value) == (better == "lower")
    word = ("better" if improved else "worse") if better in ("lower", "higher") else "changed"
    return element("span", f"{changed} {word}".strip(), class_=f"change {word}")


def _is_clear(
    score: str, scores: Scores, before: charts.Interval, after: charts.Interval
) -> tuple[bool, str]:
    """Whether two values differ by more than chance; and what to say where they do not.

    Both models answered the same rows, so an interval of their difference or ratio tells more than
    the two intervals beside each other.
    """
    for ending, same in NO_DIFFERENCE.items():
        paired = _interval("", reading.mapping(scores.values, score + ending))
        if paired and paired.low < paired.high:
            return not paired.low <= same <= paired.high, "may be chance"
    return before.low > after.high or after.low > before.high, "intervals overlap"


def _samples(scores: Scores) -> Content:
    path = scores.folder / "samples.jsonl"
    if not path.exists():
        return None
    read = reading.json_lines(path)
    shown = [_sample(row, index) for index, row in enumerate(read.rows[:SAMPLES], start=1)]
    rest, more = shown[OPEN_SAMPLES:], len(read.rows) - SAMPLES
    folded = (
        element("details", element("summary", f"{wording.count(len(rest))} more"), *rest) if rest else None
    )
    return [
        element("h3", "Sample answers", class_="part") if shown else None,
        *shown[:OPEN_SAMPLES],
        folded,
        element("p", f"{wording.count(more)} further samples lie in samples.jsonl.", class_="muted small")
        if more > 0
        else None,
        element("p", read.trouble, class_="trouble") if read.trouble else None,
    ]


def _sample(row: Mapping[str, Any], index: int) -> Markup:
    given = ("baseline", "candidate", "reference")
    answers = (_answer(label, _spoken(row.get(label))) for label in given if row.get(label) is not None)
    return element(
        "article",
        element("p", element("span", "prompt", class_="who"), class_="who-line"),
        _text(_spoken(row.get("prompt")), "prompt"),
        element("div", *answers, class_="answers"),
        class_="sample",
        aria_label=f"Sample {index}",
    )


def _answer(label: str, answer: str) -> Markup:
    who = element("span", class_=f"swatch {label}", aria_hidden="true") if label != "reference" else None
    return element(
        "div",
        element("p", element("span", who, label, class_="who"), class_="who-line"),
        _text(answer, "answer"),
    )


def _text(shown: str, look: str) -> Markup:
    if not shown.strip():
        return element("p", "empty", class_=f"{look} muted")
    cut = len(shown) - LONGEST_TEXT
    more = f"\N{HORIZONTAL ELLIPSIS} {wording.count(cut)} more characters" if cut > 0 else None
    tail = element("span", more, class_="muted small") if more else None
    return element("p", shown[:LONGEST_TEXT], tail, class_=look, dir="auto")


def _spoken(value: Any) -> str:
    """A prompt may be a text or a list of messages."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        turns = [turn for turn in value if isinstance(turn, Mapping)]
        if len(turns) == 1:
            return reading.text(turns[0], "content")
        return "\n".join(f"{reading.text(turn, 'role')}: {reading.text(turn, 'content')}" for turn in turns)
    return "" if value is None else str(value)
