"""The shapes that rows come in and are written in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_data.entries import Broken, Entry, Record
from llmops_data.rows import Message, Row
from llmops_data.shapes import KEYS, entry, written

ASKED = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
WORSE = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "5"}]


def read(values: Any, wanted: str = "messages", shape: str = "detect") -> Entry | Broken:
    return entry(Record("mine:1", values, "quote"), shape, wanted)


def out(values: Any, wanted: str) -> dict[str, Any]:
    found = read(values, wanted)
    assert isinstance(found, Entry), found
    return written(Row(found.origin, found.messages, found.facts), wanted)


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ("messages", {"messages": ASKED}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}),
        ("sharegpt", {"conversations": ASKED}),
        (
            "messages",
            {"messages": [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in ASKED]},
        ),
        ("completion", {"prompt": "2+2?", "response": "4"}),
        ("alpaca", {"instruction": "2+2?", "context": "", "response": "4"}),
        ("qa", {"question": "2+2?", "answers": {"text": ["4", "four"], "answer_start": [0]}}),
        (
            "preference",
            {
                "input": {"messages": ASKED[:1]},
                "preferred_output": ASKED[1:],
                "non_preferred_output": WORSE[1:],
            },
        ),
        ("completion", {"prompt": "2+2?", "completion": "4"}),
        ("completion", {"prompt": ASKED[:1], "completion": ASKED[1:]}),
        ("qa", {"question": "2+2?", "answer": "4", "id": 7}),
        ("alpaca", {"instruction": "2+2?", "input": "", "output": "4"}),
        ("alpaca", {"instruction": "2+2?", "output": "4"}),
        ("preference", {"prompt": "2+2?", "chosen": "4", "rejected": "5"}),
        ("preference", {"chosen": ASKED, "rejected": WORSE}),
        ("preference", {"prompt": ASKED[:1], "chosen": ASKED[1:], "rejected": WORSE[1:]}),
        ("preference", {"prompt": "2+2?", "chosen": ASKED, "rejected": WORSE}),
    ],
)
def test_every_shape_is_told_apart_and_becomes_the_same_conversation(shape: str, values: Any) -> None:
    found = read(values)
    assert isinstance(found, Entry)
    assert found.shape == shape
    assert [(one.role, one.content) for one in found.messages] == [("user", "2+2?"), ("assistant", "4")]


def test_input_follows_the_instruction_and_system_comes_first() -> None:
    found = out(
        {"system": "Be brief.", "instruction": "Sum up.", "input": "A text.", "output": "T."}, "messages"
    )
    assert [one["content"] for one in found["messages"]] == ["Be brief.", "Sum up.\n\nA text.", "T."]
    assert found["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, "tools are used in it"),
        ({"role": "tool", "content": "4", "tool_call_id": "1"}, "tools are used in it"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "holds image_url, and only texts",
        ),
        ({"role": "user", "content": ["2+2?"]}, "holds str, and only texts"),
        ({"role": "user"}, "content is not a text"),
        ({"role": "narrator", "content": "So."}, "no such role as 'narrator'"),
    ],
)
def test_what_cannot_be_learnt_from_says_why(said: dict[str, Any], why: str) -> None:
    found = read({"messages": [*ASKED[:1], said, *ASKED]})
    assert isinstance(found, Broken) and why in found.why


def test_a_developers_message_is_the_systems() -> None:
    found = out({"messages": [{"role": "developer", "content": "Be brief."}, *ASKED]}, "messages")
    assert [one["role"] for one in found["messages"]] == ["system", "user", "assistant"]


def test_facts_are_written_where_they_are_asked_for_and_known() -> None:
    row = Row("mine:1", (Message("user", "a"), Message("assistant", "b")), {"label": "x", "who": "Ann"})
    assert written(row, "messages", ("label", "id"))["facts"] == {"label": "x"}
    assert "facts" not in written(row, "messages") and "facts" not in written(row, "messages", ("id",))


def test_preference_pairs_keep_both_answers() -> None:
    expected = {"prompt": ASKED[:1], "chosen": ASKED[1:], "rejected": WORSE[1:]}
    assert out({"chosen": ASKED, "rejected": WORSE}, "preference") == expected
    refused = read({"prompt": "a", "completion": "b"}, "preference")
    assert isinstance(refused, Broken) and "no rejected answer" in refused.why
    same = read({"chosen": ASKED, "rejected": ASKED})
    assert isinstance(same, Broken) and "are the same" in same.why


def test_contexts_stay_apart_or_open_the_question() -> None:
    values = {"question": "Who?", "answer": "Ann.", "contexts": ["Ann did.", "Bob slept."]}
    expected = {"question": "Who?", "answer": "Ann.", "contexts": ["Ann did.", "Bob slept."]}
    assert out(values, "qa") == expected
    assert out(values, "messages")["messages"][0]["content"] == "Ann did.\n\nBob slept.\n\nWho?"
    assert out({"question": "Who?", "answer": "Ann.", "context": "C."}, "qa")["contexts"] == ["C."]


def test_any_row_can_become_a_text_and_no_text_a_conversation() -> None:
    assert out({"text": "Long ago.", "title": "Tale"}, "text") == {
        "text": "Long ago.",
        "origin": "mine:1",
        "title": "Tale",
    }
    assert out({"messages": ASKED}, "text")["text"] == "2+2?\n\n4"
    refused = read({"text": "Long ago."})
    assert isinstance(refused, Broken) and "set shape: text" in refused.why


def test_a_shape_that_is_stated_is_not_guessed() -> None:
    both = {"text": "Long ago.", "prompt": "2+2?", "completion": "4"}
    found = read(both, "text", "text")
    assert isinstance(found, Entry) and found.messages[0].content == "Long ago."
    refused = read({"prompt": "a"}, shape="qa")
    assert isinstance(refused, Broken) and "it has no question" in refused.why


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([key for keys in KEYS.values() for key in keys]), inner)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "input", "context"]), inner)
    ),
    max_leaves=8,
)


@given(VALUES, st.sampled_from(["messages", "text", "preference", "qa"]), st.sampled_from(["detect", *KEYS]))
def test_any_json_is_a_row_or_broken(value: Any, wanted: str, shape: str) -> None:
    found = read(json.loads(json.dumps(value)), wanted, shape)
    if isinstance(found, Entry):
        json.dumps(written(Row(found.origin, found.messages, found.facts), wanted))
    else:
        assert found.why
