"""Near duplicates: found, proved, dropped or kept together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops_core.step import StepRun
from llmops_data.config import Near
from llmops_data.near import RECALL, bands_for, near, pairs, shingles
from llmops_data.rows import Message, Row


def row(origin: str, asked: str, answered: str) -> Row:
    return Row(origin, (Message("user", asked), Message("assistant", answered)))


ROWS = [
    row("1", "My printer is not printing at all today.", "Ensure it is powered on and has paper."),
    row("2", "What is the capital of France?", "It is Paris."),
    row("3", "my printer is not printing at all today", "Ensure it's powered on and has paper!"),
    row("4", "What is the capital of France?", "Nobody in this room has ever been told."),
]


def test_the_first_of_near_duplicates_stays(run: StepRun) -> None:
    outcome = near(Near(threshold=0.7), run, rows=ROWS)
    assert [one.origin for one in outcome.rows] == ["1", "2", "4"]
    assert [(one.first.origin, one.second.origin, one.dropped) for one in outcome.links] == [("1", "3", True)]
    assert 0.7 <= outcome.links[0].similarity < 1
    assert outcome.note == "1 near duplicates left out"


def test_by_prompt_rows_with_other_answers_are_kept_together(run: StepRun) -> None:
    outcome = near(Near(compare="prompt", action="group"), run, rows=ROWS)
    assert list(outcome.rows) == ROWS
    assert {(one.first.origin, one.second.origin) for one in outcome.links} == {("1", "3"), ("2", "4")}
    assert not any(one.dropped for one in outcome.links)


def test_a_chain_drops_only_what_resembles_a_row_that_stays(run: StepRun) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    chain = [row(str(n), letters[n * 3 : n * 3 + 20], letters[n * 3 : n * 3 + 20]) for n in range(3)]
    config = Near(threshold=0.6, compare="prompt", shingle=1)
    similar = {(a, b): round(s, 2) for a, b, s in pairs([shingles(one.prompt, 1) for one in chain], config)}
    assert set(similar) == {(0, 1), (1, 2)}
    assert [one.origin for one in near(config, run, rows=chain).rows] == ["0", "2"]


def test_a_copy_of_a_dropped_row_is_dropped_too(run: StepRun) -> None:
    rows = [
        ROWS[0],
        ROWS[2],
        row("5", "MY printer is not printing at all today", "Ensure it's powered on and has paper"),
    ]
    assert [one.origin for one in near(Near(threshold=0.7), run, rows=rows).rows] == ["1"]


def test_texts_without_a_letter_are_compared_as_they_are(run: StepRun) -> None:
    rows = [row("1", "?!", "..."), row("2", "!!", "---"), row("3", "?!", "...")]
    assert [one.origin for one in near(Near(), run, rows=rows).rows] == ["1", "2"]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_the_bands_find_a_pair_at_the_threshold_almost_surely(threshold: float) -> None:
    bands, permutations = bands_for(threshold, 128)
    assert permutations <= 128
    assert permutations % bands == 0
    assert 1 - (1 - threshold ** (permutations // bands)) ** bands >= RECALL


def test_nearly_every_true_pair_is_found_and_no_other() -> None:
    chance = random.Random(3)
    words = [f"word{number}" for number in range(400)]
    texts = [" ".join(chance.choices(words, k=30)) for _ in range(150)]
    for text in list(texts):
        changed = text.split()
        for place in chance.sample(range(30), chance.randint(1, 6)):
            changed[place] = chance.choice(words)
        texts.append(" ".join(changed))
    config = Near(threshold=0.6)
    pieces = [shingles(text, config.shingle) for text in texts]
    found = {(first, second) for first, second, _ in pairs(pieces, config)}
    true = {
        (first, second)
        for second in range(len(pieces))
        for first in range(second)
        if len(pieces[first] & pieces[second]) / len(pieces[first] | pieces[second]) >= config.threshold
    }
    assert len(true) > 100
    assert found <= true
    assert len(true - found) <= 1


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(alphabet="ab ", max_size=12), min_size=1, max_size=12))
def test_dropping_leaves_no_equal_texts_and_keeps_the_first(texts: list[str]) -> None:
    rows = [row(str(number), text or "x", "y") for number, text in enumerate(texts)]
    outcome = near(Near(threshold=1.0), None, rows=rows)  # type: ignore[arg-type]
    left = [shingles(one.text, 5) for one in outcome.rows]
    assert len(left) == len(set(left)) == len({shingles(one.text, 5) for one in rows})
    assert outcome.rows[0] is rows[0]
