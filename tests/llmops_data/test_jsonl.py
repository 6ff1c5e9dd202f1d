"""JSONL in the shapes that chat data comes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_data.entries import Broken, Entry
from llmops_data.jsonl import UnreadableError, conversation, read

ASKED = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]


@pytest.mark.parametrize(
    "shape",
    [
        {"messages": ASKED},
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
        {"prompt": "2+2?", "completion": "4"},
        {"prompt": ASKED[:1], "completion": ASKED[1:]},
        {"question": "2+2?", "answer": "4", "id": 7},
        {"instruction": "2+2?", "input": "", "output": "4"},
        {"instruction": "2+2?", "output": "4"},
    ],
)
def test_every_shape_reads_as_the_same_conversation(shape: dict[str, Any]) -> None:
    assert [(one.role, one.content) for one in conversation(shape)] == [("user", "2+2?"), ("assistant", "4")]


def test_input_follows_the_instruction_and_system_comes_first() -> None:
    found = conversation(
        {"system": "Be brief.", "instruction": "Sum up.", "input": "A text.", "output": "T."}
    )
    assert [one.content for one in found] == ["Be brief.", "Sum up.\n\nA text.", "T."]
    assert found[0].role == "system"


def test_broken_lines_say_where_and_why(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"prompt": "a", "completion": "b"}',
        b"",
        b'{"prompt": "a", ',
        b'{"prompt": "a"}',
        b'{"prompt": "a", "completion": " "}',
        b'{"prompt": 3, "completion": "b"}',
        b'{"messages": [{"role": "user", "content": "a"}]}',
        b'{"messages": [{"role": "wizard", "content": "a"}, {"role": "assistant", "content": "b"}]}',
        b'{"messages": [{"role": "assistant", "content": "b"}]}',
        b'{"prompt": "\xff", "completion": "b"}',
        b'{"prompt": "\\ud800", "completion": "b"}',
        b"[" * 100_000,
        b"[1, 2]",
        '{"prompt": "Grüße,\u2028du", "completion": "日本"}'.encode(),
    ]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    found = list(read(tmp_path / "x.jsonl", "mine"))
    assert [one.origin for one in found if isinstance(one, Entry)] == ["mine:1", "mine:14"]
    expected = {
        3: "not JSON",
        4: "has none of",
        5: "empty",
        6: "prompt is not a text",
        7: "not the assistant's",
        8: "'wizard'",
        9: "nobody asks",
        10: "not UTF-8",
        11: "surrogate",
        12: "too deep",
        13: "not an object",
    }
    broken = {one.origin: one.why for one in found if isinstance(one, Broken)}
    assert list(broken) == [f"mine:{line}" for line in expected]
    for (origin, why), part in zip(broken.items(), expected.values(), strict=True):
        assert part in why, origin


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "role", "content", "prompt", "completion"]), inner)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_any_json_is_a_conversation_or_unreadable(value: Any) -> None:
    try:
        found = conversation(json.loads(json.dumps(value)))
    except UnreadableError:
        return
    assert all(isinstance(one.content, str) for one in found)
