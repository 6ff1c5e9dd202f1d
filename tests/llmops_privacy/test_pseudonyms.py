"""Pseudonyms: the same for the same, and undone only with the key."""

from __future__ import annotations

import sqlite3
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core.errors import SecretError, StoreError, UsageError
from llmops_core.step import StepRun
from llmops_privacy.config import PATTERN_KINDS
from llmops_privacy.pseudonyms import Key, key_of
from llmops_privacy.vault import Vault, opened

from .conftest import SECRET, Find

OTHER = key_of("another-key-of-many-letters", "OTHER")


@given(st.sampled_from(sorted(PATTERN_KINDS)), st.text(min_size=1))
def test_a_pseudonym_depends_on_kind_value_and_key_and_on_nothing_else(kind: str, value: str) -> None:
    key = key_of(SECRET, "KEY")
    assert key.pseudonym(kind, value) == key_of(SECRET, "KEY").pseudonym(kind, value)
    assert key.pseudonym(kind, value) != OTHER.pseudonym(kind, value)
    assert key.pseudonym(kind, value) != key.pseudonym(kind, value + "x")
    ssn, nhs = (key.pseudonym(one, value).rpartition("_")[2] for one in ("US_SSN", "UK_NHS"))
    assert ssn != nhs


def test_spellings_of_one_value_share_a_pseudonym(key: Key) -> None:
    assert key.pseudonym("PERSON", "Anna  Schmidt") == key.pseudonym("PERSON", "anna\nSCHMIDT")


@given(st.sampled_from(sorted(PATTERN_KINDS)), st.text(min_size=1))
def test_a_pseudonym_is_nobodys_data_itself(kind: str, value: str) -> None:
    from llmops_privacy.auditing import personal_data

    name = key_of(SECRET, "KEY").pseudonym(kind, value)
    assert personal_data([[f"call {name}", f"passport {name} born {name} card:{name}"]]) == {}


def test_a_pseudonym_looks_like_its_kind_where_names_are_reserved_for_that(key: Key, find: Find) -> None:
    assert key.pseudonym("EMAIL_ADDRESS", "a@b.de").endswith("@example.org")
    assert key.pseudonym("IP_ADDRESS", "2606:2800::1").startswith("2001:db8:")
    assert key.pseudonym("URL_WITH_PASSWORD", "https://a:b@c.de").endswith(".invalid/")
    assert key.pseudonym("PERSON", "Anna").startswith("PERSON_")


def test_a_key_tells_itself_only_by_its_fingerprint(key: Key) -> None:
    assert SECRET not in repr(key) and key.fingerprint in repr(key)
    assert key.fingerprint != OTHER.fingerprint


def test_a_short_key_is_refused_without_showing_it() -> None:
    with pytest.raises(SecretError, match="fewer than 22") as caught:
        key_of("hunter2", "KEY")
    assert "hunter2" not in str(caught.value)


def test_what_was_sealed_is_read_with_the_key_only(run: StepRun, key: Key) -> None:
    Vault(run.state, key).keep([("N1", "Anna"), ("N1", "ANNA"), ("N2", "half \ud800")])
    Vault(run.state, key).keep([("N1", "Anna")])
    assert Vault(run.state, key).spellings("N1") == ["ANNA", "Anna"]
    assert Vault(run.state, key).spellings("N2") == ["half \ud800"]
    assert Vault(run.state, key).spellings("N3") == []
    with pytest.raises(UsageError, match=key.fingerprint):
        opened(run.state, OTHER)
    # another key's owner who renames the file gets nothing out of it either
    Vault(run.state, key).path.rename(Vault(run.state, OTHER).path)
    with pytest.raises(StoreError, match="cannot be opened"):
        Vault(run.state, OTHER).spellings("N1")


def test_a_sealed_value_cannot_be_put_under_another_pseudonym(run: StepRun, key: Key) -> None:
    vault = Vault(run.state, key)
    vault.keep([("N1", "Anna")])
    with sqlite3.connect(vault.path) as table:
        table.execute("update pseudonyms set pseudonym = 'N2'")
    table.close()
    with pytest.raises(StoreError, match="changed"):
        vault.spellings("N2")


def test_a_vault_is_its_owners_and_holds_no_value_in_clear(run: StepRun, key: Key) -> None:
    vault = Vault(run.state, key)
    vault.keep([("N1", "Anna Schmidt")])
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.path.parent.stat().st_mode) == 0o700
    kept = vault.path.read_bytes()
    assert b"Anna" not in kept and SECRET.encode() not in kept


def test_a_vault_that_cannot_be_written_is_told(run: StepRun, key: Key) -> None:
    vault = Vault(run.state, key)
    vault.path.parent.mkdir(parents=True)
    vault.path.write_bytes(b"this is no database, but many letters long" * 100)
    with pytest.raises(StoreError, match="cannot be kept"):
        vault.keep([("N1", "Anna")])
