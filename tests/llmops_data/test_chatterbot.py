"""The YAML files of the ChatterBot corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmops_core.errors import DataError
from llmops_data.chatterbot import read
from llmops_data.entries import Broken, Entry

TEXT = """\
categories: [test]
conversations:
- - Hello
  - Hi
  - How are you?
- - When?
  - 1963
- - Really?
  - yes
- One line only
- - Alone
- - Nested
  - - answer
"""


def read_text(folder: Path, text: str, *, alternatives: bool) -> list[Entry | Broken]:
    (folder / "x.yml").write_text(text, encoding="utf-8")
    return list(read(folder / "x.yml", "corpus/x.yml", alternatives=alternatives))


def said(found: list[Entry | Broken]) -> list[tuple[str, list[str]]]:
    return [(one.origin, [m.content for m in one.messages]) for one in found if isinstance(one, Entry)]


def test_alternatives_become_one_row_an_answer(tmp_path: Path) -> None:
    assert said(read_text(tmp_path, TEXT, alternatives=True))[:3] == [
        ("corpus/x.yml:3", ["Hello", "Hi"]),
        ("corpus/x.yml:3#2", ["Hello", "How are you?"]),
        ("corpus/x.yml:6", ["When?", "1963"]),
    ]


def test_a_dialogue_takes_turns_and_loses_a_last_line_that_nobody_answers(tmp_path: Path) -> None:
    assert said(read_text(tmp_path, TEXT, alternatives=False))[0] == ("corpus/x.yml:3", ["Hello", "Hi"])


def test_numbers_and_yes_stay_the_words_they_are(tmp_path: Path) -> None:
    assert [lines[-1] for _, lines in said(read_text(tmp_path, TEXT, alternatives=True))[2:]] == [
        "1963",
        "yes",
    ]


def test_what_is_no_conversation_is_broken_with_its_line(tmp_path: Path) -> None:
    found = [one for one in read_text(tmp_path, TEXT, alternatives=True) if isinstance(one, Broken)]
    assert [(one.origin, one.why) for one in found] == [
        ("corpus/x.yml:10", "a conversation is a list of lines"),
        ("corpus/x.yml:11", "there is no answer"),
        ("corpus/x.yml:12", "a conversation is a list of lines"),
    ]


@pytest.mark.parametrize(
    ("text", "what"), [("a: [", "no YAML"), ("- a", "no list called"), ("", "no list called")]
)
def test_a_file_of_another_kind_is_an_error_that_names_it(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        read_text(tmp_path, text, alternatives=True)
    assert "corpus/x.yml" in str(caught.value)


def test_no_tag_runs_code(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    text = f"conversations:\n- - !!python/object/apply:os.mkdir ['{marker}']\n  - b\n"
    read_text(tmp_path, text, alternatives=True)
    assert not marker.exists()
