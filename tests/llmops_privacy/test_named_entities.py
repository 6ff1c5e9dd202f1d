"""The second tier: names of people, by Presidio over a small model."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_privacy.config import Kind, PersonalData
from llmops_privacy.named_entities import may_name, names, sentences
from llmops_privacy.personal_data import personal_data

from .conftest import row

TEXT = "Yesterday Anna Schmidt from Berlin called John Miller. She wrote to anna@firma.de about it."


@given(st.text(alphabet=st.sampled_from("aB .!?\n\"'é")))
def test_sentences_are_pieces_of_the_text_at_their_places(text: str) -> None:
    cut = list(sentences(text))
    assert all(text[start : start + len(piece)] == piece for start, piece in cut)
    kept = set()
    for start, piece in cut:
        kept.update(range(start, start + len(piece)))
    assert all(text[place] in " .!?\n\"'" for place in range(len(text)) if place not in kept)


@pytest.mark.parametrize(
    ("sentence", "may"),
    [
        ("the river stood high.", False),
        ("The river stood high.", False),
        ("I think I'm late for NASA.", False),
        ("Anna called.", True),
        ("they met anna and Bob.", True),
        ("ÉMILIE a écrit.", True),
    ],
)
def test_only_sentences_with_a_telling_capital_are_read_by_the_model(sentence: str, may: bool) -> None:
    assert may_name(sentence) is may


def test_an_initial_or_a_title_ends_no_sentence() -> None:
    cut = [piece for _, piece in sentences("Dr. Smith met J. Doe. She left.")]
    assert cut == ["Dr. Smith met J. Doe.", "She left."]


def test_people_are_replaced_beside_what_patterns_find_and_places_stay(run: StepRun) -> None:
    found = personal_data(PersonalData(tier="names"), run, rows=[row(TEXT, "no names here")])
    assert found.rows[0].messages[0].content == (
        "Yesterday [PERSON] from Berlin called [PERSON]. She wrote to [EMAIL_ADDRESS] about it."
    )
    assert found.counts["PERSON redacted in user"] == 2


def test_a_name_far_behind_in_a_text_without_a_stop_is_found_at_its_place(run: StepRun) -> None:
    long = "the river stood high and " * 900
    (left,) = personal_data(PersonalData(tier="names"), run, rows=[row(f"{long}{TEXT}", "a")]).rows
    assert left.messages[0].content.startswith(f"{long}Yesterday [PERSON] from Berlin called [PERSON].")


def test_places_are_replaced_where_the_config_says_so(run: StepRun) -> None:
    config = PersonalData(tier="names", kinds={"LOCATION": Kind("mask"), "PERSON": Kind("ignore")})
    (left,) = personal_data(config, run, rows=[row(TEXT, "a")]).rows
    assert left.messages[0].content.startswith("Yesterday Anna Schmidt from ****** called")


def test_what_stands_for_a_value_is_no_name(run: StepRun) -> None:
    said = "Then [PERSON] called PERSON_bcdfghjklmnpqr and Write [EMAIL_ADDRESS] soon."
    (left,) = personal_data(PersonalData(tier="names"), run, rows=[row(said, "a")]).rows
    assert left.messages[0].content == said


def test_a_model_that_is_not_there_is_told_and_not_downloaded() -> None:
    with pytest.raises(DataError, match="not downloaded"):
        names(["Anna came."], frozenset({"PERSON"}), "en_core_web_none")


def test_the_first_tier_imports_nothing_of_the_second() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom llmops_core.step import StepRun\n"
        "from llmops_privacy.config import PersonalData\n"
        "from llmops_privacy.personal_data import personal_data\n"
        "run = StepRun(folder=Path(), scratch=Path(), cache=Path(), state=Path())\n"
        "personal_data(PersonalData(), run, rows=[])\n"
        "print([name for name in ('spacy', 'presidio_analyzer', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
