"""JSON arrays are read an object at a time, and what breaks them is told with its place."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_data import arrays
from llmops_data.entries import Broken, Record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def read(content: bytes, encoding: str = "utf-8") -> list[Record | Broken]:
    return list(arrays.read(io.BytesIO(content), "mine", encoding))


@given(st.lists(JSON, max_size=6), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 7))
def test_every_object_is_read_however_the_file_arrives(
    values: list[Any], indent: int | None, escaped: bool, block: int
) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=escaped)
    content = text.encode("utf-8", "surrogatepass") if escaped else text.encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BLOCK", block)
        found = read(content)
    assert [one.values for one in found if isinstance(one, Record)] == json.loads(content)
    assert [one.origin for one in found] == [f"mine:{number}" for number in range(1, len(values) + 1)]


@pytest.mark.parametrize(
    ("content", "rows", "why"),
    [
        (b'{"a": 1}\n{"a": 2}', 0, "say format: jsonl"),
        (b"", 0, "no array of objects"),
        (b'[{"a": 1}, {"a": }, {"a": 3}]', 1, "it is not JSON (Expecting value); what follows"),
        (b'[{"a": 1}', 1, "the array does not end"),
        (b'[{"a": 1} {"a": 2}]', 1, "'{' stands where a comma should"),
        (b'[{"a": 1}, {"a": "\xff"}]', 0, "it is not UTF-8"),
        (b"[" * 100_000, 0, "it is nested too deep"),
        (b"[1" + b"0" * 5000 + b"]", 0, "it is not JSON"),
    ],
)
def test_what_breaks_an_array_is_told_once(content: bytes, rows: int, why: str) -> None:
    *before, broken = read(content)
    assert len(before) == rows and isinstance(broken, Broken) and why in broken.why


def test_an_object_beyond_all_measure_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LONGEST_LINE", 2000)
    monkeypatch.setattr(arrays, "BLOCK", 100)
    [broken] = read(b'[{"a": "' + b"x" * 100_000 + b'"}]')
    assert isinstance(broken, Broken) and "longer than" in broken.why


def test_a_mark_of_byte_order_is_no_letter() -> None:
    [record] = read(b"\xef\xbb\xbf [true] ")
    assert isinstance(record, Record) and record.values is True
