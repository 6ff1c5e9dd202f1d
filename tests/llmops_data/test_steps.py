"""The steps normalise, exact and length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmops_core.step import StepRun
from llmops_data.config import Exact, Length, Normalise
from llmops_data.exact import exact
from llmops_data.length import length
from llmops_data.normalise import clean, normalise
from llmops_data.rows import Message, Row


def row(origin: str, *said: str) -> Row:
    speakers = ("user", "assistant")
    return Row(origin, tuple(Message(speakers[turn % 2], line) for turn, line in enumerate(said)))


def test_normalise_gives_one_spelling_and_keeps_the_indents_of_code(run: StepRun) -> None:
    rows = [row("1", " cafe\u0301\u200b  is\u00a0 nice \r\n\r\n\r\n\r\nright? ", "def f():\n    return  1\n")]
    outcome = normalise(Normalise(), run, rows=rows)
    assert [one.content for one in outcome.rows[0].messages] == [
        "café is nice\n\nright?",
        "def f():\n    return 1",
    ]
    assert (outcome.rows[0].origin, outcome.counts) == ("1", {"changed": 1})


def test_normalise_leaves_out_rows_with_nothing_left(run: StepRun) -> None:
    outcome = normalise(
        Normalise(), run, rows=[row("1", "\u200b", "b"), row("2", "a", " "), row("3", "a", "b")]
    )
    assert [one.origin for one in outcome.rows] == ["3"]
    assert outcome.counts == {"left out": 2}


@given(st.text(), st.sampled_from(["NFC", "NFKC", "none"]))
def test_normalising_twice_changes_nothing_more(text: str, form: str) -> None:
    config = Normalise(unicode=form)  # type: ignore[arg-type]
    once = clean(text, config)
    assert clean(once, config) == once


def test_exact_keeps_the_first_and_links_the_others_to_it(run: StepRun) -> None:
    rows = [
        row("1", "a", "b"),
        row("2", "A", "b"),
        row("3", "a", "b"),
        row("4", "a", "c"),
        row("5", "a", "b"),
    ]
    outcome = exact(Exact(), run, rows=rows)
    assert [one.origin for one in outcome.rows] == ["1", "2", "4"]
    assert [(link.first.origin, link.second.origin) for link in outcome.links] == [("1", "3"), ("1", "5")]
    blind = exact(Exact(ignore_case=True), run, rows=rows)
    assert [one.origin for one in blind.rows] == ["1", "4"]


def test_who_says_it_makes_a_difference(run: StepRun) -> None:
    other = Row("2", (Message("system", "a"), Message("assistant", "b")))
    assert len(exact(Exact(), run, rows=[row("1", "a", "b"), other]).rows) == 2


def test_length_counts_all_messages_and_tells_both_ends(run: StepRun) -> None:
    rows = [row("1", "a", "b"), row("2", "aaa", "bbb"), row("3", "a" * 20, "b")]
    outcome = length(Length(min_characters=3, max_characters=20), run, rows=rows)
    assert [one.origin for one in outcome.rows] == ["2"]
    assert outcome.counts == {"under 3 characters left out": 1, "over 20 characters left out": 1}
