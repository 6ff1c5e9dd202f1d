"""The page: all of a run is there, in order, nothing comes from elsewhere, and nothing in it runs."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops_core.artifacts import Dataset, Model, Scores
from llmops_core.html.markup import VOID
from llmops_report.facts import Facts
from llmops_report.page import render

RUNS = ("released", "refused", "failed", "interrupted")
ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "section",
        "footer",
        "article",
        "div",
    ),
    *(
        "span",
        "p",
        "h1",
        "h2",
        "h3",
        "a",
        "code",
        "pre",
        "strong",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "table",
    ),
    *("caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "wbr"),
    *("svg", "g", "line", "rect", "circle", "polyline", "text", "tspan"),
}


class Reader(HTMLParser):
    """Reads a page as a browser does, and complains where a browser would guess."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def read(facts: Facts) -> Reader:
    reader = Reader()
    reader.feed(render(facts.document, facts.artifacts, facts.notes))
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(params=RUNS)
def any_run(request: pytest.FixtureRequest) -> Facts:
    facts: Facts = request.getfixturevalue(request.param)
    return facts


def test_a_page_has_only_known_elements_and_attributes_that_load_nothing(any_run: Facts) -> None:
    page = read(any_run)
    assert {tag for tag, _ in page.elements} <= ALLOWED
    attributes = [(name, value) for _, given_ in page.elements for name, value in given_.items()]
    assert not [
        name
        for name, _ in attributes
        if name.startswith("on") or name in ("src", "srcset", "style", "action")
    ]
    assert {value for name, value in attributes if name == "href"} <= {"#told"}
    assert "url(" not in render(any_run.document, any_run.artifacts)
    assert "@import" not in render(any_run.document, any_run.artifacts)


def test_every_link_and_label_of_a_page_leads_somewhere(any_run: Facts) -> None:
    page = read(any_run)
    known = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    asked = {attributes["href"] for _, attributes in page.elements if "href" in attributes}
    asked |= {
        "#" + str(attributes["aria-labelledby"])
        for _, attributes in page.elements
        if "aria-labelledby" in attributes
    }
    assert len(known) == len(set(known))
    assert asked <= {f"#{name}" for name in known}


def test_every_plot_is_described_or_hidden_from_readers(any_run: Facts) -> None:
    outer = [given_ for tag, given_ in read(any_run).elements if tag == "svg" and "class" in given_]
    assert outer
    assert all(given_.get("aria-label") or given_.get("aria-hidden") == "true" for given_ in outer)


def test_the_parts_come_in_the_order_a_person_asks_for_them(released: Facts) -> None:
    page = render(released.document, released.artifacts)
    told = re.findall(r"<h[12][^>]*>(.*?)</h[12]>", page)
    plain = [re.sub(r"<[^>]+>", "", heading).strip() for heading in told]
    assert plain[0].endswith("Released r-4")
    assert plain[1:] == ["Steps", "Before and after", "Training", "Data", "Warnings and errors", "Details"]


def test_a_report_shows_what_happened(released: Facts) -> None:
    shown = read(released).text
    for told in (
        "train.lr=3e-4",
        "2026-11-22 09:14:17 UTC",
        "Linux 6.1 · AMD EPYC 7B13 · 2 cores · 8.3 GB · Python 3.11.7",
        "2 m 18 s",
        "4 ran, 2 reused",
        "same as run 3 (yesterday 14:02)",
        "1 m 24 s",
        "expected 1 m 25 s, from 3 earlier runs, ±12 %",
        "2.1 GB memory",
        "21.4 (20.0–23.1)",
        "Training loss went from 3.",
        "at least 0.8 alike; a group stays in one split",
        "10 pairs of duplicates of the 30 in duplicates.jsonl",
        "12 lines were no JSON objects",
        "http://127.0.0.1:8000 (stopped since)",
        "transformers",
        "key-of-train",
    ):
        assert told in shown, told


def test_a_refused_report_says_by_which_number_and_how_much(refused: Facts) -> None:
    shown = read(refused).text
    assert "perplexity_ratio is 0.562 (at most 0.5619, missed by 0.0001)" in shown
    assert "Nothing was released." in shown


def test_hostile_answers_are_shown_as_text(released: Facts) -> None:
    page = read(released)
    assert "<script>document.title='taken'</script>" in page.text
    assert "script" not in {tag for tag, _ in page.elements}


def test_hostile_text_anywhere_in_a_record_is_shown_as_text(released: Facts) -> None:
    hostile = "\"'></p></style><script>alert(1)</script>\ud800"

    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key if key in KEPT else key + hostile: poisoned(held) for key, held in value.items()}
        if isinstance(value, list):
            return [poisoned(held) for held in value]
        return value + hostile if isinstance(value, str) else value

    document = {key: poisoned(value) for key, value in released.document.items()}
    page = read(Facts(document, released.artifacts, [hostile]))
    assert {tag for tag, _ in page.elements} <= ALLOWED
    render(document, released.artifacts).encode("utf-8")


KEPT = {
    *("name", "stage", "use", "action", "reason", "key", "result", "error", "warnings", "estimate", "time"),
    *("basis", "value", "actual", "seconds", "memory", "gates", "at_most", "at_least"),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
STEP_KEYS = (
    *("name", "stage", "use", "action", "reason", "key", "inputs", "output", "status", "seconds", "result"),
    *("estimate", "actual", "attempts", "error", "warnings"),
)
KEYS = (
    *("id", "name", "tags", "parent", "recipe", "overrides", "seed", "status", "started", "ended", "seconds"),
    *("error", "git", "packages", "machine", "config", "steps"),
)


def record(keys: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, JSON))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record(KEYS), st.lists(record(STEP_KEYS), max_size=2))
def test_any_record_with_any_holes_makes_a_page(
    document: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    read(Facts(document | {"steps": steps}, {})).text.encode("utf-8")


NUMBERED = st.dictionaries(
    st.sampled_from(["value", "low", "high", "better", "step", "loss", "lr", "rows"]), JSON
)
MEASURED = st.dictionaries(st.text(max_size=5), NUMBERED, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MEASURED, MEASURED, st.lists(NUMBERED, max_size=5))
def test_artifacts_with_any_numbers_make_a_page(
    tmp_path: Path, values: dict[str, Any], baseline: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for name in ("training.jsonl", "samples.jsonl", "duplicates.jsonl"):
        (tmp_path / name).write_text(lines, encoding="utf-8")
    scores = Scores(folder=tmp_path, rows=3, values=values, baseline=baseline)
    model = Model(folder=tmp_path, name="m", parameters=1, context=1)
    dataset = Dataset(folder=tmp_path, rows={"train": 0}, shape="messages", funnel=rows)
    gated = {"release": {"gates": {name: {"at_most": 1.0} for name in values}}}
    steps = [{"name": name, "stage": name} for name in ("data", "train", "evaluate", "release")]
    artifacts = {"data": dataset, "train": model, "evaluate": scores}
    read(Facts({"config": gated, "steps": steps}, artifacts)).text.encode("utf-8")


def test_an_empty_record_makes_a_page() -> None:
    assert "How this run ended is not recorded" in read(Facts({}, {})).text


def test_the_same_run_makes_the_same_page(released: Facts) -> None:
    assert render(released.document, released.artifacts) == render(released.document, released.artifacts)


def test_a_log_with_broken_lines_and_lost_numbers_is_drawn_and_told(released: Facts) -> None:
    model = released.artifacts["train"]
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 1.0}]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "lo'
    (model.folder / "training.jsonl").write_text(text, encoding="utf-8")
    shown = read(released).text
    assert "1 loss was no finite number." in shown
    assert "training.jsonl: 1 line could not be read." in shown


def test_a_resumed_log_counts_each_step_once(released: Facts) -> None:
    from llmops_report.training import series

    rows = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 9.0},
        {"step": 2, "loss": 2.0},
        {"step": 3, "loss": 1.0},
    ]
    assert series(rows, "loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_a_long_log_is_thinned_and_the_legend_says_so(released: Facts) -> None:
    model = released.artifacts["train"]
    rows = ({"step": at, "loss": 3 - at / 4000} for at in range(1, 6001))
    (model.folder / "training.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
    )
    page = render(released.document, released.artifacts)
    assert "training loss, means of 10 steps" in page
    assert len(page) < 200_000


def test_a_smoothed_curve_does_not_lag_behind_a_straight_one() -> None:
    from llmops_report.training import smoothed

    line = [(float(at), 100.0 - at) for at in range(100)]
    middle = [value for _, value in smoothed(line)[10:90]]
    assert middle == pytest.approx([value for _, value in line[10:90]])


def test_two_trainings_have_a_plot_each(released: Facts) -> None:
    first = released.artifacts["train"]
    assert isinstance(first, Model)
    second = dataclasses.replace(first, digest="other")
    document = {
        **released.document,
        "steps": [*released.document["steps"], {"name": "preference", "stage": "train"}],
    }
    shown = read(Facts(document, {**released.artifacts, "preference": second})).text
    assert "Training: train" in shown
    assert "Training: preference" in shown


def test_a_very_long_answer_is_cut_and_says_by_how_much(released: Facts) -> None:
    scores = released.artifacts["evaluate"]
    row = {
        "prompt": [{"role": "user", "content": "Why?"}],
        "reference": "",
        "candidate": "x" * 5500,
        "baseline": "y",
    }
    (scores.folder / "samples.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    shown = read(released).text
    assert "1,500 more characters" in shown
    assert "Why?" in shown


def test_scores_without_a_baseline_or_intervals_are_drawn(released: Facts, tmp_path: Path) -> None:
    scores = Scores(folder=tmp_path, rows=3, values={"accuracy": {"value": 0.5}, "lost": {}}, baseline={})
    page = read(Facts(released.document, {"evaluate": scores}))
    assert "accuracy: candidate 0.500" in [given_.get("aria-label") for _, given_ in page.elements]
    assert "No value was recorded." in page.text


def test_a_change_within_the_intervals_is_not_called_better(released: Facts) -> None:
    shown = read(released).text
    assert "−44 % better" in shown
    assert "+23 %, intervals overlap" in shown


@pytest.mark.parametrize(("low", "high", "told"), [(0.4, 3.9, " better"), (-1.0, 5.0, ", may be chance")])
def test_a_comparison_of_both_models_decides_over_overlapping_intervals(
    released: Facts, low: float, high: float, told: str
) -> None:
    scores = released.artifacts["evaluate"]
    assert isinstance(scores, Scores)
    gain = {"value": 2.1, "low": low, "high": high, "better": "higher"}
    compared = dataclasses.replace(scores, values={**scores.values, "bleu_gain": gain})
    assert f"+23 %{told}" in read(Facts(released.document, {"evaluate": compared})).text
