"""A step run, and rows as the data stage gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmops_core.step import StepRun
from llmops_data.rows import Message, Row
from llmops_privacy.config import PersonalData
from llmops_privacy.finding import Match
from llmops_privacy.personal_data import taken_up
from llmops_privacy.pseudonyms import Key, key_of

SECRET = "a-key-of-many-letters-for-tests"


@pytest.fixture
def run(tmp_path: Path) -> StepRun:
    """A run whose secrets are all the same key."""
    return StepRun(
        folder=tmp_path / "out",
        scratch=tmp_path / "scratch",
        cache=tmp_path / "cache",
        state=tmp_path / "store",
        read_secret=lambda name: SECRET,
    )


@pytest.fixture
def key() -> Key:
    """The key that the run's secrets are."""
    return key_of(SECRET, "KEY")


@pytest.fixture
def pseudonymise(key: Key) -> Mapping[str, Any]:
    """The settings that replace everything by pseudonyms."""
    return {"action": "pseudonymise", "key": "${secret:KEY}", "fingerprint": key.fingerprint}


Find = Callable[..., list[Match]]


@pytest.fixture
def find(run: StepRun) -> Find:
    """Finds with the step's settings: find(text, min_score=0.3)."""

    def found(text: str, **settings: Any) -> list[Match]:
        return taken_up(PersonalData(**settings), run).by_pattern(text)

    return found


def row(*texts: str, origin: str = "rows:1", **facts: Any) -> Row:
    """A conversation of these texts, in turns."""
    roles = ("user", "assistant")
    messages = tuple(Message(roles[place % 2], text) for place, text in enumerate(texts))
    return Row(origin, messages, facts)
