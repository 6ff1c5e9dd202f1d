"""The conformance kit, and what only this plugin does."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from acme_phrases.config import AcmePhrases
from acme_phrases.step import acme_phrases

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_core.testing.suite import PluginSuite


class TestAcmePhrases(PluginSuite):
    """All that `llmops plugin check acme-phrases` checks."""

    plugin = "acme-phrases"


@dataclass(frozen=True)
class Message:
    content: str


@dataclass(frozen=True)
class Row:
    origin: str
    messages: tuple[Message, ...]


ROWS = [Row(str(place), (Message(text),)) for place, text in enumerate(["Yes.", "As an AI, no.", "Two."])]
RUN = StepRun(folder=Path(), scratch=Path(), cache=Path(), state=Path())


def test_rows_that_begin_with_a_phrase_are_left_out():
    assert acme_phrases(AcmePhrases(), RUN, rows=ROWS) == [ROWS[0], ROWS[2]]


def test_too_many_rows_are_an_error_that_says_what_to_raise():
    with pytest.raises(DataError, match=r"most above 0\.1"):
        acme_phrases(AcmePhrases(most=0.1), RUN, rows=ROWS)
