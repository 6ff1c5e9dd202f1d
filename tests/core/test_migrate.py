"""Documents of older and newer formats."""

from __future__ import annotations

from typing import Any

import pytest

from llmops_core.errors import StoreError
from llmops_core.migrate import migrate

STEPS = {1: lambda old: {**old, "b": old["a"] + 1}, 2: lambda old: {**old, "c": old["b"] + 1}}


def test_a_document_of_this_format_is_left_as_it_is() -> None:
    assert migrate({"format": 3, "a": 1}, 3, STEPS, "it") == {"format": 3, "a": 1}


@pytest.mark.parametrize("document", [{"a": 1}, {"format": 1, "a": 1}])
def test_an_older_document_goes_through_every_format_between(document: dict[str, Any]) -> None:
    before = dict(document)
    assert migrate(document, 3, STEPS, "it") == {"format": 3, "a": 1, "b": 2, "c": 3}
    assert document == before


def test_a_newer_document_is_refused_with_what_to_do() -> None:
    with pytest.raises(StoreError) as caught:
        migrate({"format": 4}, 3, STEPS, "the store .llmops")
    assert "the store .llmops has format 4; this release of llmops reads up to 3" in str(caught.value)
    assert "Upgrade llmops" in caught.value.problem.remedy


@pytest.mark.parametrize("found", ["x", None, 1.5, True])
def test_a_format_that_is_no_number_is_refused(found: Any) -> None:
    with pytest.raises(StoreError, match="no format version that can be read"):
        migrate({"format": found}, 3, STEPS, "it")


@pytest.mark.parametrize("found", [0, -1])
def test_a_format_that_nothing_migrates_any_more_is_refused(found: int) -> None:
    with pytest.raises(StoreError, match="no release reads any more"):
        migrate({"format": found}, 3, STEPS, "it")
