"""How addresses are read, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core.address import Address, describe, parse
from llmops_core.errors import AddressError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_package_address_has_name_version_and_path() -> None:
    found = parse("pypi://chatterbot-corpus@1.3.3/chatterbot_corpus/data/english/")
    assert (found.scheme, found.name, found.version) == ("pypi", "chatterbot-corpus", "1.3.3")
    assert found.path == "chatterbot_corpus/data/english"
    assert parse("pypi://torch@2.13.0+cpu").version == "2.13.0+cpu"


def test_a_hub_address_tells_models_from_data_sets() -> None:
    model = parse(f"hf://HuggingFaceTB/SmolLM2-135M@{COMMIT}")
    rows = parse(f"hf://datasets/org/rows@{COMMIT}/data/train.jsonl")
    assert (model.name, model.dataset, model.path) == ("HuggingFaceTB/SmolLM2-135M", False, "")
    assert (rows.name, rows.dataset, rows.path) == ("org/rows", True, "data/train.jsonl")


def test_a_file_address_may_be_relative_absolute_or_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse("file:rows.jsonl").local == Path("rows.jsonl")
    assert (
        parse("file:/data/rows.jsonl").local
        == parse("file:///data/rows.jsonl").local
        == Path("/data/rows.jsonl")
    )
    assert parse("file:~/rows.jsonl").local == Path("/home/someone/rows.jsonl")


def test_other_schemes_are_left_to_fsspec() -> None:
    found = parse("s3://bucket/folder/rows.jsonl?versionId=3")
    assert (found.scheme, found.last_name) == ("s3", "rows.jsonl")


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("hf://org/name@main", "branch", "hf://org/name@COMMIT"),
        ("hf://org/name", "no revision", "40 hex digits"),
        (f"hf://name@{COMMIT}", "not ORG/NAME", "ORG/NAME@COMMIT"),
        ("hf://datasets/org/rows@v1.0", "'v1.0'", "hf://datasets/org/rows@COMMIT"),
        ("pypi://name@>=1.0/x", "not an exact version", "pypi://name@1.2.3"),
        ("pypi://name@1.*", "not an exact version", "pypi://name@1.2.3"),
        ("pypi://name/x", "version is missing", "pypi://name@1.2.3"),
        ("pypi://@1.0", "not a package's name", "pypi://NAME@VERSION"),
        ("pypi://name@1.0/../../etc", "leads out", "without .."),
        ("file:", "path is missing", "file:PATH"),
        ("file://host/rows", "names a host", "file:PATH"),
        ("rows.jsonl", "starts with its scheme", "file:rows.jsonl"),
        ("s3:bucket/x", "not followed by //", "s3://"),
        ("  ", "empty", "file:PATH"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_and_how_to_write_it(text: str, what: str, remedy: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert what in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("who", ["someone:hunter2", "hunter2", "hunter2:"])
def test_a_password_in_an_address_is_refused_and_not_echoed(who: str) -> None:
    assert parse("abfs://container@account.dfs.core.windows.net/rows").scheme == "abfs"
    with pytest.raises(AddressError) as caught:
        parse(f"https://{who}@example.org/rows.jsonl")
    assert "hunter2" not in str(caught.value)
    assert "secret" in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    for prefix in ("", "pypi://", "hf://", "hf://datasets/", "file:", "s3://"):
        try:
            found = parse(prefix + text)
        except AddressError:
            continue
        assert isinstance(found, Address)
        assert found.text == prefix + text
        if found.scheme in ("pypi", "hf"):
            assert ".." not in Path(found.path).parts
            assert not found.path.startswith("/")


def test_a_description_reads_as_a_phrase() -> None:
    assert describe(parse("pypi://x@1.0/a")) == "x 1.0 from the package index, a"
    assert describe(parse(f"hf://datasets/o/n@{COMMIT}")) == "data set o/n at 0123456789ab from the hub"
