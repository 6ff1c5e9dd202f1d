"""`llmops privacy`: keys, and what pseudonyms stand for."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmops_core.errors import LlmopsError, UsageError
from llmops_privacy.commands import privacy
from llmops_privacy.pseudonyms import Key, key_of
from llmops_privacy.vault import Vault

from .conftest import SECRET


def types(*words: str) -> Result:
    done = CliRunner().invoke(privacy, words)
    if isinstance(done.exception, LlmopsError):
        raise done.exception
    return done


def test_a_key_is_made_for_its_owner_only_and_told_by_fingerprint(tmp_path: Path) -> None:
    place = tmp_path / "key"
    said = types("key", str(place))
    text = place.read_text().strip()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert key_of(text, "KEY").fingerprint in said.output and text not in said.output
    with pytest.raises(UsageError, match="file of that name"):
        types("key", str(place))
    assert place.read_text().strip() == text


def test_pseudonyms_are_revealed_with_their_key(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    Vault(tmp_path, key).keep([("N1", "Anna"), ("N1", "ANNA")])
    monkeypatch.setenv("MINE", SECRET)
    said = types("reveal", "N1", "--key", "MINE", "--store", str(tmp_path))
    assert said.stdout == "N1\tANNA\nN1\tAnna\n"
    with pytest.raises(UsageError, match="nothing is kept of N2"):
        types("reveal", "N1", "N2", "--key", "MINE", "--store", str(tmp_path))
    monkeypatch.setenv("MINE", "another-key-of-many-letters")
    with pytest.raises(UsageError, match=f"Keys that sealed something there: {key.fingerprint}"):
        types("reveal", "N1", "--key", "MINE", "--store", str(tmp_path))
    monkeypatch.delenv("MINE")
    with pytest.raises(LlmopsError, match="MINE is not set"):
        types("reveal", "N1", "--key", "MINE", "--store", str(tmp_path))
