"""Where a folded text's pieces stand in the original."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmops_privacy.finding import find as find_in
from llmops_privacy.folding import INVISIBLE, folded
from llmops_privacy.recognisers import groups

CARD = groups(frozenset({"CREDIT_CARD"}), ())
DIGITS = {
    "plain": "0123456789",
    "full": "０１２３４５６７８９",
    "arabic": "٠١٢٣٤٥٦٧٨٩",
    "bold": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
}


@given(
    st.text(), st.sampled_from(sorted(DIGITS)), st.lists(st.sampled_from(INVISIBLE), max_size=4), st.text()
)
def test_a_card_is_found_at_its_place_in_any_text_and_any_digits(
    before: str, digits: str, hidden: list[str], after: str
) -> None:
    number = "5555555555554444".translate(str.maketrans(DIGITS["plain"], DIGITS[digits]))
    written = number[:7] + "".join(hidden) + number[7:]
    text = f"{before}\n; {written} ;\n{after}"
    start = len(before) + 3
    spans = [(one.start, one.end) for one in find_in(text, CARD, lambda kind: 0.5)]
    assert (start, start + len(written)) in spans


@given(st.text())
def test_folding_keeps_every_letter_that_is_seen_and_knows_its_place(text: str) -> None:
    plain = folded(text)
    for place, letter in enumerate(plain.text):
        start, end = plain.span(place, place + 1)
        assert end == start + 1
        assert text[start] == letter or folded(text[start]).text == letter
    assert len(plain.text) == sum(letter not in INVISIBLE for letter in text)
