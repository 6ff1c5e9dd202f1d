"""Streaming text: whole characters, joined pieces equal the whole, stop strings across pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from llmops_serve.text_stream import Detokenizer, StopStrings


def pieces_of(tokenizer: PreTrainedTokenizerFast, tokens: list[int]) -> list[str]:
    text = Detokenizer(lambda some: tokenizer.decode(some, skip_special_tokens=True))
    return [*(text.push(token) for token in tokens), text.finish()]


@settings(deadline=None)
@given(text=st.text(max_size=40))
def test_pieces_of_any_text_join_to_it_and_hold_whole_characters(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    pieces = pieces_of(tokenizer, tokenizer(text)["input_ids"])
    assert "".join(pieces) == text
    assert sum(piece.count("\ufffd") for piece in pieces) == text.count("\ufffd")


@settings(deadline=None)
@given(tokens=st.lists(st.integers(2, 280), max_size=30))
def test_pieces_of_tokens_that_are_no_text_join_to_what_they_decode_to(
    tokenizer: PreTrainedTokenizerFast, tokens: list[int]
) -> None:
    assert "".join(pieces_of(tokenizer, tokens)) == tokenizer.decode(tokens)


def test_a_character_of_four_tokens_comes_out_once_it_is_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = tokenizer("🦙")["input_ids"]
    assert len(tokens) == 4
    assert pieces_of(tokenizer, tokens) == ["", "", "", "🦙", ""]


def test_half_a_character_at_the_end_is_shown_as_unfinished(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = tokenizer("a🦙")["input_ids"][:3]
    assert pieces_of(tokenizer, tokens) == ["a", "", "", "\ufffd"]


letters = st.text("ab\n", max_size=14)
stop_lists = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)


def before_stop(text: str, stops: list[str]) -> str:
    """What comes before the stop string that is complete first, found by looking at every beginning."""
    for end in range(len(text) + 1):
        ended = [stop for stop in stops if text[:end].endswith(stop)]
        if ended:
            return text[: end - max(map(len, ended))]
    return text


@settings(deadline=None)
@given(letters, stop_lists, st.lists(st.integers(0, 14), max_size=4))
def test_text_ends_at_the_same_stop_however_it_is_cut(text: str, stops: list[str], cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    scanner = StopStrings(stops)
    out = "".join(scanner.push(text[a:b]) for a, b in pairwise(places))
    out += scanner.finish()
    assert out == before_stop(text, stops)
    assert scanner.found == any(stop in text for stop in stops)


def test_text_that_cannot_begin_a_stop_string_is_not_held_back() -> None:
    scanner = StopStrings(["\nUser:"])
    assert [scanner.push(piece) for piece in ("Hi", "!\n", "Us", "ed")] == ["Hi", "!", "", "\nUsed"]
