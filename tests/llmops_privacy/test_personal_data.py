"""The step: what becomes of rows, and what is told of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops_core.errors import DataError, SecretError
from llmops_core.step import StepRun
from llmops_privacy.config import Kind, PersonalData
from llmops_privacy.personal_data import personal_data
from llmops_privacy.pseudonyms import Key
from llmops_privacy.vault import Vault

from .conftest import Find, row

MAIL, CARD = "anna.schmidt@firma.de", "4111 1111 1111 1111"
ASKED = f"Mail {MAIL} please."
PLANTED = (
    MAIL,
    CARD,
    "+49 30 901820",
    "DE89 3704 0044 0532 0130 00",
    "536-90-4399",
    "529.982.247-25",
    "93.184.216.34",
    "AKIAIOSFODNN7EXAMPLE",
    "passport C01X00T47",
    "born 12.03.1985",
    "12345678Z",
    "https://me:pw@host.de/x",
)


def texts(found: Any) -> list[list[str]]:
    return [[one.content for one in left.messages] for left in found.rows]


@pytest.mark.parametrize(
    ("action", "becomes"),
    [
        ("redact", "Mail [EMAIL_ADDRESS] please."),
        ("mask", "Mail ****.*******@*****.** please."),
        ("report", ASKED),
    ],
)
def test_an_action_does_to_a_text_what_it_says(action: Any, becomes: str, run: StepRun) -> None:
    found = personal_data(PersonalData(action=action), run, rows=[row(ASKED, "Fine.")])
    assert texts(found) == [[becomes, "Fine."]]


def test_a_row_is_left_out_where_a_kind_says_so(run: StepRun) -> None:
    config = PersonalData(kinds={"CREDIT_CARD": Kind("drop"), "EMAIL_ADDRESS": Kind("ignore")})
    found = personal_data(config, run, rows=[row(ASKED, "a"), row(f"{CARD} {MAIL}", "b"), row("c", "d")])
    assert texts(found) == [[ASKED, "a"], ["c", "d"]]
    assert found.counts == {
        "rows with personal data": 1,
        "CREDIT_CARD dropped in user": 1,
        "rows left out": 1,
        "rows with CREDIT_CARD": 1,
    }


def test_a_row_is_left_out_for_what_only_a_replacement_brings_to_light(run: StepRun) -> None:
    glued = row(f"DE89 3704 0044 0532 0130 00.{CARD.replace(' ', '')}", "Paid.")
    assert texts(personal_data(PersonalData(), run, rows=[glued])) == [["[IBAN_CODE].[CREDIT_CARD]", "Paid."]]
    found = personal_data(PersonalData(kinds={"CREDIT_CARD": Kind("drop")}), run, rows=[glued])
    assert list(found.rows) == [] and found.counts["rows left out"] == 1


def test_what_is_counted_says_kind_action_and_field_and_no_value(run: StepRun) -> None:
    rows = [row(ASKED, f"I wrote to {MAIL} and {MAIL}."), row("x", ASKED)]
    found = personal_data(PersonalData(), run, rows=rows)
    assert found.counts == {
        "rows with personal data": 2,
        "EMAIL_ADDRESS redacted in assistant": 3,
        "EMAIL_ADDRESS redacted in user": 1,
        "rows with EMAIL_ADDRESS": 2,
    }


def test_facts_are_looked_at_however_deep_and_roles_can_be_chosen(run: StepRun) -> None:
    told = row(ASKED, ASKED, title=f"To {MAIL}", about={"names": [MAIL, 3, None]})
    (left,) = personal_data(PersonalData(), run, rows=[told]).rows
    assert left.facts == {"title": "To [EMAIL_ADDRESS]", "about": {"names": ["[EMAIL_ADDRESS]", 3, None]}}
    (left,) = personal_data(PersonalData(fields=["assistant"]), run, rows=[told]).rows
    assert left == dataclasses.replace(told, messages=(told.messages[0], left.messages[1]))
    assert left.messages[1].content == "Mail [EMAIL_ADDRESS] please."


def test_a_row_without_personal_data_is_given_back_as_it_was(run: StepRun) -> None:
    plain = row("Hello 123.", "Yes.", label="a")
    found = personal_data(PersonalData(), run, rows=[plain])
    assert found.rows[0] is plain and found.counts == {"rows with personal data": 0}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from(PLANTED),
            st.sampled_from([" ", ".", "-", ",", "\n", "x", "1", " no ", "/"]),
            st.text(max_size=5),
        ),
        max_size=12,
    )
)
@pytest.mark.parametrize("action", ["redact", "mask", "pseudonymise"])
def test_nothing_is_found_in_what_was_replaced(
    action: str, pieces: list[str], run: StepRun, find: Find, pseudonymise: Mapping[str, Any]
) -> None:
    asked = {**pseudonymise, "action": action, "reversible": False}
    (left,) = personal_data(PersonalData(**asked), run, rows=[row("".join(pieces), "y")]).rows
    assert find(left.messages[0].content) == []


def test_one_value_has_one_pseudonym_in_all_rows_and_the_key_undoes_it(
    run: StepRun, key: Key, pseudonymise: Mapping[str, Any]
) -> None:
    config = PersonalData(**pseudonymise)
    rows = [row(f"Mail {MAIL}", "a"), row("call +49 30 901820", MAIL.upper())]
    first, second = texts(personal_data(config, run, rows=rows))
    name = key.pseudonym("EMAIL_ADDRESS", MAIL)
    assert (first[0], second[1]) == (f"Mail {name}", name)
    phone = second[0].removeprefix("call ")
    vault = Vault(run.state, key)
    assert vault.spellings(name) == [MAIL.upper(), MAIL]
    assert vault.spellings(phone) == ["+49 30 901820"]


def test_pseudonyms_that_need_not_be_undone_are_kept_nowhere(
    run: StepRun, pseudonymise: Mapping[str, Any]
) -> None:
    personal_data(PersonalData(**pseudonymise, reversible=False), run, rows=[row(ASKED, "a")])
    assert not run.state.exists()


def test_only_what_writes_into_the_store_has_to_run_beside_it(pseudonymise: Mapping[str, Any]) -> None:
    stays = personal_data.in_store  # type: ignore[attr-defined]
    assert stays(PersonalData(**pseudonymise))
    assert not stays(PersonalData(**pseudonymise, reversible=False))
    assert not stays(PersonalData(action="redact"))


def test_another_key_than_the_config_says_is_refused_and_told_by_fingerprint_only(
    run: StepRun, key: Key, pseudonymise: Mapping[str, Any]
) -> None:
    for said in ("", "bcdfghjklmnpqr"):
        with pytest.raises(DataError, match=f"Set fingerprint: {key.fingerprint}"):
            personal_data(PersonalData(**{**pseudonymise, "fingerprint": said}), run, rows=[row(ASKED, "a")])
    short = dataclasses.replace(run, read_secret=lambda name: "password")
    with pytest.raises(SecretError, match="KEY has fewer"):
        personal_data(PersonalData(**pseudonymise), short, rows=[row(ASKED, "a")])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kinds": {"EMAIL": Kind("mask")}}, "no kind EMAIL; is it EMAIL_ADDRESS"),
        ({"kinds": {"PERSON": Kind("mask")}}, "only with tier: names"),
        ({"action": "pseudonymise"}, "say the key"),
        ({"model": "models/en"}, "goes into model_path"),
        ({"kinds": {"US_SSN": Kind("pseudonymise")}}, "say the key"),
    ],
)
def test_a_config_that_cannot_work_says_why(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PersonalData(**wrong)


def test_a_region_that_is_none_is_refused(run: StepRun) -> None:
    with pytest.raises(DataError, match=r"no region UK.*GB, not UK"):
        personal_data(PersonalData(regions=("DE", "UK")), run, rows=[])
