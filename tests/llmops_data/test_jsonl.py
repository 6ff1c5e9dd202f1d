"""JSON lines."""

from __future__ import annotations

import io

import pytest

from llmops_data import jsonl, opening
from llmops_data.entries import Broken, Entry
from llmops_data.shapes import entry

LINES = [
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
WHY = {
    3: "not JSON",
    4: "fits no known shape",
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


def read(content: bytes) -> list[Entry | Broken]:
    found = jsonl.read(io.BytesIO(content), "mine")
    return [one if isinstance(one, Broken) else entry(one, "detect", "messages") for one in found]


def test_broken_lines_say_where_and_why() -> None:
    found = read(b"\n".join(LINES))
    assert [one.origin for one in found if isinstance(one, Entry)] == ["mine:1", "mine:14"]
    broken = {one.origin: one.why for one in found if isinstance(one, Broken)}
    assert list(broken) == [f"mine:{line}" for line in WHY]
    for (origin, why), part in zip(broken.items(), WHY.values(), strict=True):
        assert part in why, origin


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (b'{"prompt": "a", ', "cut off after column 15"),
        (b'{"prompt": "a"', "cut off after column 14"),
        (b'{"prompt": "a", "completion": "so long', "cut off after column 38"),
        (b'{"prompt": a"}', "Expecting value at column 12"),
    ],
)
def test_the_place_is_where_a_line_is_cut_off_or_wrong(line: bytes, where: str) -> None:
    [found, _] = read(line + b'\n{"prompt": "a", "completion": "b"}\n')
    assert isinstance(found, Broken) and found.why == f"it is not JSON ({where})"


def test_a_monstrous_line_is_broken_and_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LONGEST_LINE", 1000)
    monkeypatch.setattr(opening, "BLOCK", 100)
    huge = b'{"prompt": "' + b"x" * 5000 + b'", "completion": "b"}\n'
    found = read(huge + b'{"prompt": "a", "completion": "b"}\n')
    assert [type(one) for one in found] == [Broken, Entry]
    assert found[1].origin == "mine:2"


def test_a_number_of_too_many_digits_is_broken() -> None:
    [found] = read(b'{"prompt": "a", "completion": ' + b"1" * 5000 + b"}\n")
    assert isinstance(found, Broken)
    assert "not JSON" in found.why
