"""Near duplicates: found, proved, dropped or kept together."""

from __future__ import annotations

import random
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops_core.step import StepRun
from llmops_data.config import Near
from llmops_data.grouping import joined
from llmops_data.near import NEIGHBOURS, Texts, near, pairs
from llmops_data.rows import Message, Row
from llmops_data.sketches import RECALL, bands_for, ordered, pieces, plain, similarity


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


def test_a_system_message_of_many_rows_makes_none_alike_and_one_of_few_still_counts(run: StepRun) -> None:
    def under(rule: str, rows: list[Row]) -> list[Row]:
        return [Row(f"{rule[:1]}{one.origin}", (Message("system", rule), *one.messages)) for one in rows]

    asked = [
        row(f"{number}", f"What is {number} times {number}?", f"{number**2}") for number in range(40, 60)
    ]
    everywhere = under("Answer with one number, and explain nothing, whatever you are asked. " * 8, asked)
    again = row("again", "what is 40 times 40", "1600!")
    found = near(Near(), run, rows=[*everywhere, *under("Be brief.", [again])])
    assert [one.origin for one in found.rows] == [one.origin for one in everywhere] + ["Bagain"]
    found = near(Near(), run, rows=[*everywhere, again])
    assert [(one.first.origin, one.second.origin) for one in found.links] == [("A40", "again")]
    pages = [
        one for page in ("Paris is in France. ", "It rained all day. ") for one in under(page * 9, [again])
    ]
    assert list(near(Near(), run, rows=pages).rows) == pages


@pytest.mark.parametrize("compare", ["row", "prompt"])
def test_rows_that_are_asked_by_a_system_message_alone_are_compared_by_it(
    run: StepRun, compare: Literal["row", "prompt"]
) -> None:
    rule, answers = "Tell a joke about the weather.", ["Rain.", "A cloud came by.", "No wind, no news."] * 4
    rows = [
        Row(str(number), (Message("system", rule), Message("assistant", said)))
        for number, said in enumerate(answers)
    ]
    left = [one.origin for one in near(Near(threshold=1.0, compare=compare), run, rows=rows).rows]
    assert left == {"row": ["0", "1", "2"], "prompt": ["0"]}[compare]


WORDS = st.text("abcdé漢 _!\n", max_size=40) | st.text("abcd E,\n", max_size=60)


def as_text(text: str) -> str:
    found = plain(text)
    return found if isinstance(found, str) else found.decode()


def shingles(text: str, length: int) -> frozenset[str]:
    """The pieces of a text the slow way."""
    bare = as_text(text)
    return frozenset(bare[start : start + length] for start in range(max(1, len(bare) - length + 1)))


def jaccard(one: str, other: str, length: int) -> float:
    first, second = shingles(one, length), shingles(other, length)
    return len(first & second) / len(first | second)


@given(WORDS, WORDS, st.integers(1, 12))
def test_the_similarity_of_numbered_pieces_is_that_of_the_pieces(one: str, other: str, length: int) -> None:
    numbered = [ordered(pieces(plain(text), length)) for text in (one, other)]
    assert similarity(*numbered) == pytest.approx(jaccard(one, other, length))


@pytest.mark.parametrize("text", ["Don't PANIC_now!", "ça va, ÉTÉ?", "  spaced\t\nout ", "…", "日本、東京"])
def test_a_plain_text_has_neither_case_nor_punctuation_nor_spacing(text: str) -> None:
    slow = "".join(one if one.isalnum() else " " for one in text.casefold())
    assert as_text(text) == (" ".join(slow.split()) or text)


def test_a_chain_drops_only_what_resembles_a_row_that_stays(run: StepRun) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    chain = [row(str(n), letters[n * 3 : n * 3 + 20], letters[n * 3 : n * 3 + 20]) for n in range(3)]
    config = Near(threshold=0.6, compare="prompt", shingle=1)
    similar = {(first, second) for first, second, _ in pairs(Texts(chain, config), config, run.scratch)}
    assert similar == {(0, 1), (1, 2)}
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


def test_nearly_every_true_pair_is_found_and_no_other(run: StepRun) -> None:
    chance = random.Random(3)
    words = [f"word{number}" for number in range(400)]
    texts = [" ".join(chance.choices(words, k=30)) for _ in range(150)]
    for text in list(texts):
        changed = text.split()
        for place in chance.sample(range(30), chance.randint(1, 6)):
            changed[place] = chance.choice(words)
        texts.append(" ".join(changed))
    config = Near(threshold=0.6)
    rows = [row(str(number), text, "x") for number, text in enumerate(texts)]
    found = {(first, second) for first, second, _ in pairs(Texts(rows, config), config, run.scratch)}
    cut = [shingles(one.text, config.shingle) for one in rows]
    true = {
        (first, second)
        for second in range(len(cut))
        for first in range(second)
        if len(cut[first] & cut[second]) / len(cut[first] | cut[second]) >= config.threshold
    }
    assert len(true) > 100
    assert found <= true
    assert len(true - found) <= 1


@pytest.mark.parametrize(("threshold", "most"), [(0.5, 30), (0.8, 12)])
def test_the_groups_are_those_of_comparing_all_with_all(run: StepRun, threshold: float, most: int) -> None:
    chance = random.Random(8)
    words = [f"{number}" for number in range(3000)]
    texts = [" ".join(chance.choices(words, k=100)) for _ in range(80)]
    for text in texts * 2:
        changed = text.split()
        # so many that the similarities lie on both sides of the threshold
        for place in chance.sample(range(100), chance.randint(0, most)):
            changed[place] = chance.choice(words)
        texts.append(" ".join(changed))
    rows = [row(str(number), text, "x") for number, text in enumerate(texts)]
    config = Near(threshold=threshold, action="group")
    cut = [shingles(one.text, config.shingle) for one in rows]
    true = [
        (first, second)
        for second in range(len(cut))
        for first in range(second)
        if len(cut[first] & cut[second]) / len(cut[first] | cut[second]) >= threshold
    ]
    found = [(int(one.first.origin), int(one.second.origin)) for one in near(config, run, rows=rows).links]
    assert 80 < len(true) < 230
    assert set(found) <= set(true)
    ends, right = np.array(found, np.int32), np.array(true, np.int32)
    grouped = joined(len(rows), ends[:, 0], ends[:, 1])
    assert grouped.tolist() == joined(len(rows), right[:, 0], right[:, 1]).tolist()


def test_a_crowd_of_variants_is_found_without_comparing_all_with_all(run: StepRun) -> None:
    count = NEIGHBOURS * 8
    said = "the quick brown fox jumps over the lazy dog and on through the wide green forest to the sea "
    rows = [row(str(number), f"{said * 3}{number}", "yes") for number in range(count)]
    outcome = near(Near(threshold=0.8), run, rows=rows)
    assert [one.origin for one in outcome.rows] == ["0"]
    assert len(outcome.links) <= count * NEIGHBOURS


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(alphabet="ab ", max_size=12), min_size=1, max_size=12))
def test_dropping_leaves_no_equal_texts_and_keeps_the_first(run: StepRun, texts: list[str]) -> None:
    rows = [row(str(number), text or "x", "y") for number, text in enumerate(texts)]
    outcome = near(Near(threshold=1.0), run, rows=rows)
    left = [shingles(one.text, 5) for one in outcome.rows]
    assert len(left) == len(set(left)) == len({shingles(one.text, 5) for one in rows})
    assert next(iter(outcome.rows)) is rows[0]
