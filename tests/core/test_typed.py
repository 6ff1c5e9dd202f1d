"""Reading plain values into dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core.settings import Part, part, parts, setting
from llmops_core.typed import BAD, Reading, plain


@dataclass(frozen=True)
class Inner:
    """A nested one."""

    share: float = setting(0.5, doc="A share.", at_least=0, at_most=1)


@dataclass(frozen=True)
class Everything:
    """One field of every kind."""

    flag: bool = setting(False, doc="A flag.")
    count: int = setting(1, doc="A count.", at_least=0, below=100, unit="rows")
    rate: float = setting(0.1, doc="A rate.")
    name: str = setting("", doc="A name.")
    kind: Literal["small", "large"] = setting("small", doc="A kind.")
    maybe: int | None = setting(None, doc="Maybe a count.")
    names: Sequence[str] = setting((), doc="Names.")
    inner: Inner = setting(factory=Inner, doc="Nested.")
    table: Mapping[str, Inner] = setting(factory=dict, doc="By name.")
    piece: Part = part("group", "tiny", doc="A part.")
    pieces: Mapping[str, Part] = parts("group", doc="Parts.")


@dataclass(frozen=True)
class Tiny:
    """A part's own."""

    size: int = setting(3, doc="Size.")


@dataclass
class Told:
    """Remembers what was reported."""

    folder: Path = field(default_factory=Path)
    problems: list[tuple[str, str, str]] = field(default_factory=list)

    def read(self, node: Any, cls: type[Any] = Everything) -> Any:
        def config_class(path: str, group: str, use: str) -> type[Any] | None:
            if use in ("tiny", "other"):
                return Tiny
            self.problems.append((path, f"no {use}", ""))
            return None

        def report(path: str, what: str, remedy: str) -> None:
            self.problems.append((path, what, remedy))

        return Reading(report, config_class, lambda path: self.folder).read(node, cls, "x")


shares = st.floats(0, 1)
everything = st.builds(
    Everything,
    flag=st.booleans(),
    count=st.integers(0, 99),
    rate=st.floats(allow_nan=False, allow_infinity=False),
    name=st.text().filter(lambda text: text != "???" and "${secret:" not in text),
    kind=st.sampled_from(["small", "large"]),
    maybe=st.none() | st.integers(),
    names=st.lists(st.text("abc ?", max_size=2), max_size=3).map(tuple),
    inner=st.builds(Inner, share=shares),
    table=st.dictionaries(st.text("ab", min_size=1), st.builds(Inner, share=shares), max_size=3),
    piece=st.builds(
        Part, st.just("group"), st.sampled_from(["tiny", "other"]), st.builds(Tiny, st.integers())
    ),
    pieces=st.dictionaries(
        st.text("ab", min_size=1),
        st.builds(Part, st.just("group"), st.just("tiny"), st.builds(Tiny, st.integers())),
        max_size=2,
    ),
)


@given(everything)
def test_what_was_written_plain_reads_back_as_the_same(config: Everything) -> None:
    told = Told()
    assert told.read(plain(config)) == config
    assert told.problems == []


def test_defaults_fill_what_is_not_written_and_parts_get_their_own() -> None:
    read = Told().read({"pieces": {"tiny": None, "b": "other", "c": {"use": "tiny", "size": 9}}})
    assert read.count == 1
    assert read.piece == Part("group", "tiny", Tiny(3))
    assert [one.use for one in read.pieces.values()] == ["tiny", "other", "tiny"]
    assert read.pieces["c"].config == Tiny(9)


def test_a_field_of_a_default_part_can_be_set_without_naming_it() -> None:
    assert Told().read({"piece": {"size": 7}}).piece == Part("group", "tiny", Tiny(7))


@pytest.mark.parametrize(
    ("node", "where", "what", "remedy"),
    [
        ({"cuont": 3}, "x.cuont", "no such field", "Did you mean x.count?"),
        ({"zzzzzz": 3}, "x.zzzzzz", "no such field", "Its fields: flag, count, "),
        ({"count": "three"}, "x.count", 'a whole number is wanted, not the text "three"', ""),
        ({"count": 3.0}, "x.count", "a whole number is wanted, not 3.0", ""),
        ({"count": True}, "x.count", "a whole number is wanted, not true", ""),
        ({"count": None}, "x.count", "a whole number is wanted, not null", ""),
        ({"count": -1}, "x.count", "-1 is out of range", "at least 0 rows"),
        ({"count": 100}, "x.count", "100 is out of range", "below 100 rows"),
        ({"flag": 2}, "x.flag", "true or false is wanted, not 2", ""),
        ({"flag": "yes"}, "x.flag", "true or false is wanted", ""),
        ({"rate": math.nan}, "x.rate", "a finite number is wanted", ""),
        ({"rate": 10**400}, "x.rate", "a finite number is wanted", ""),
        ({"name": 2024}, "x.name", "a text is wanted, not 2024", "quotes"),
        ({"name": True}, "x.name", "a text is wanted, not true", "quotes"),
        ({"name": ["a"]}, "x.name", "a text is wanted, not a list", ""),
        ({"name": "${secret:A}"}, "x.name", "this field takes no secret", ""),
        ({"kind": "lagre"}, "x.kind", "is not one of small, large", "Did you mean large?"),
        ({"kind": {"a": 1}}, "x.kind", "a mapping is not one of", ""),
        ({"maybe": "x"}, "x.maybe", "a whole number is wanted", ""),
        ({"names": "a"}, "x.names", "a list is wanted", "Write [a]."),
        ({"names": ["a", 3]}, "x.names.1", "a text is wanted, not 3", ""),
        ({"names": ["???"]}, "x.names.0", "a value is required", "x.names.0=VALUE"),
        ({"inner": {"share": 2}}, "x.inner.share", "2.0 is out of range", "at most 1"),
        ({"inner": 3}, "x.inner", "a mapping of fields is wanted, not 3", ""),
        ({"table": {"a": {"shrae": 1}}}, "x.table.a.shrae", "no such field", "x.table.a.share"),
        ({"table": {"a": "???"}}, "x.table.a", "a value is required", "x.table.a=VALUE"),
        ({"table": ["a"]}, "x.table", "a mapping of names is wanted, not a list", ""),
        ({"piece": "nothing"}, "x.piece", "no nothing", ""),
        ({"piece": 3}, "x.piece", "a choice of group is wanted, not 3", "show options group"),
        ({"piece": {"use": "???"}}, "x.piece", "no implementation of group is named", ""),
        ({"piece": {"use": "other", "sise": 3}}, "x.piece.sise", "no such field of other", "x.piece.size"),
        ({"pieces": {"a": {"use": "tiny", "size": "l"}}}, "x.pieces.a.size", "a whole number is wanted", ""),
    ],
)
def test_each_wrong_value_is_told_with_place_and_remedy(
    node: dict[str, Any], where: str, what: str, remedy: str
) -> None:
    told = Told()
    assert told.read(node) is BAD
    [(place, said, todo)] = told.problems
    assert place == where
    assert what in said
    assert remedy in todo


def test_every_problem_of_a_node_is_told_at_once() -> None:
    told = Told()
    assert told.read({"count": -1, "rate": "x", "inner": {"share": 3}, "odd": 1}) is BAD
    assert sorted(place for place, _, _ in told.problems) == ["x.count", "x.inner.share", "x.odd", "x.rate"]


def test_a_broken_value_that_was_told_before_is_not_told_again() -> None:
    told = Told()
    assert told.read({"count": BAD, "names": [BAD], "table": {"a": BAD}, "piece": {"use": BAD}}) is BAD
    assert told.problems == []


@dataclass(frozen=True)
class Required:
    """With values that must be given."""

    path: str = setting(doc="Where it is.", path=True)
    address: str | None = setting(None, doc="Where it is.", address=True)
    token: str | None = setting(None, doc="A secret.", secret=True)


def test_a_missing_required_value_says_what_it_is_for() -> None:
    for node in ({}, {"path": "???"}):
        told = Told()
        assert told.read(node, Required) is BAD
        assert told.problems == [
            ("x.path", "a value is required: Where it is.", "Set it, for instance x.path=VALUE.")
        ]


def test_paths_start_where_they_are_written_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("")
    told = Told(tmp_path)
    read = told.read({"path": "rows", "address": "file:rows"}, Required)
    assert (read.path, read.address) == (str(tmp_path / "rows"), f"file:{tmp_path / 'rows'}")
    assert told.read({"path": "file:rows", "address": None}, Required) == Required(str(tmp_path / "rows"))
    assert told.read({"path": "nothing", "address": "rows"}, Required) is BAD
    assert [place for place, _, _ in told.problems] == ["x.path", "x.address"]


@pytest.mark.parametrize("path", ["~nobody-here/x", "a\0b", "a" * 5000, "rows/x"])
def test_a_path_that_cannot_be_is_a_problem_and_no_traceback(tmp_path: Path, path: str) -> None:
    (tmp_path / "rows").write_text("")
    told = Told(tmp_path)
    assert told.read({"path": path}, Required) is BAD
    assert len(told.problems) == 1


@pytest.mark.parametrize("typed", ["hf_abcdef", "${secret:A}hf_abcdef", "${secret:}", "x${secret:A}"])
def test_a_secret_typed_literally_is_refused_and_not_echoed(tmp_path: Path, typed: str) -> None:
    told = Told(tmp_path)
    assert told.read({"path": ".", "token": typed}, Required) is BAD
    [(place, what, remedy)] = told.problems
    assert (place, what) == ("x.token", "only a secret's name may stand here")
    assert "hf_abcdef" not in what + remedy
    assert (
        Told(tmp_path).read({"path": ".", "token": "${secret:HF_TOKEN}"}, Required).token
        == "${secret:HF_TOKEN}"
    )


@dataclass(frozen=True)
class Picky:
    """Refuses itself."""

    low: int = setting(0, doc="Low.")

    def __post_init__(self) -> None:
        if self.low:
            raise ZeroDivisionError("low may not be")


def test_what_a_dataclass_refuses_is_a_problem_at_its_place() -> None:
    told = Told()
    assert told.read({"low": 1}, Picky) is BAD
    assert told.problems == [("x", "low may not be", "")]
