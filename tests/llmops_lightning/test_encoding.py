"""Rows become examples once: kept on disk, the same from several processes, in memory that does not grow."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Dataset
from llmops_core.errors import DataError
from llmops_core.gc import collect
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_lightning.encoding import Encoded, Encoder
from llmops_lightning.objective import Example, Tokens
from llmops_lightning.plan import Plan, write_plan
from llmops_lightning.planner import Schedule

MakeRun = Callable[..., StepRun]


@dataclass(frozen=True)
class Letters:
    """A row's letters as tokens, the first word without loss; a second part where it is told of one."""

    calls: list[int] = field(default_factory=list)
    name: str = "letters"

    def identity(self) -> str:
        return self.name

    def encode(self, row: Mapping[str, Any], max_length: int) -> Sequence[Example]:
        self.calls.append(1)
        if "broken" in row:
            raise DataError("it is broken", remedy="Mend it.")
        ids = tuple(map(ord, row["text"]))
        labels = (-100,) * len(row["text"].split(" ")[0]) + ids[len(row["text"].split(" ")[0]) :]
        tokens = Tokens(ids, labels).cut(max_length)
        if "other" in row:
            other = Tokens(tuple(map(ord, row["other"])), (-100,) * len(row["other"]))
            return [Example((tokens, other), 1)]
        return [Example.of(tokens, cut=len(ids) > max_length)]


def texts(make_data: Callable[..., Dataset], folder: Path, rows: Sequence[Mapping[str, Any]]) -> Dataset:
    return make_data(folder, list(rows), [])


def test_examples_come_back_as_they_were_made(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    rows = [{"text": "ab cd"}, {"text": "x y", "other": "zz"}, {"text": "silent"}, {"text": "e fgh"}]
    encoded = Encoder(Letters(), 100, make_run()).encode(
        texts(make_data, tmp_path / "d", rows), "train", None
    )
    assert len(encoded) == 3
    expected = [Letters().encode(row, 100)[0] for row in rows if row["text"] != "silent"]
    found = [encoded[at] for at in range(3)]
    assert [one.parts for one in found] == [one.parts for one in expected]
    assert [one.weight for one in found] == [3, 1, 4]
    assert [one.row for one in found] == [1, 2, 4]
    short = Encoder(Letters(), 4, make_run("short")).encode(
        texts(make_data, tmp_path / "s", [{"text": "a bcd"}, {"text": "a bc"}]), "train", None
    )
    assert [short[at].cut for at in range(2)] == [True, False]
    assert encoded.lengths.tolist() == [5, 5, 5]


def test_what_was_encoded_is_not_encoded_again(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    data, run = texts(make_data, tmp_path / "d", [{"text": f"a {n}"} for n in range(9)]), make_run()
    first, second, other = Letters(), Letters(), Letters(name="others")
    Encoder(first, 100, run).encode(data, "train", None)
    again = Encoder(second, 100, run).encode(data, "train", None)
    assert (len(first.calls), len(second.calls), len(again)) == (9, 0, 9)
    Encoder(other, 100, run).encode(data, "train", None)
    assert len(other.calls) == 9
    data.path("train").write_text(data.path("train").read_text().replace("a 8", "b 8"))
    Encoder(second, 100, run).encode(data, "train", None)
    assert len(second.calls) == 9


def test_another_run_with_another_seed_encodes_nothing_unless_it_takes_a_sample(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    rows = [{"text": f"a {n}"} for n in range(9)]
    first, second, third = Letters(), Letters(), Letters()
    one = Encoder(first, 100, make_run("one", seed=1)).encode(
        texts(make_data, tmp_path / "d", rows), "train", None
    )
    copy = texts(make_data, tmp_path / "copy", rows)
    two = Encoder(second, 100, make_run("two", seed=2)).encode(copy, "train", 9)
    assert (len(first.calls), len(second.calls), one.folder) == (9, 0, two.folder)
    for seed in (1, 2):
        Encoder(third, 100, make_run(f"sample{seed}", seed=seed)).encode(copy, "train", 5)
    assert len(third.calls) == 10


def test_a_damaged_encoding_is_made_again_and_one_long_unused_is_garbage(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    data, letters = texts(make_data, tmp_path / "d", [{"text": f"a {n}"} for n in range(9)]), Letters()
    found = Encoder(letters, 100, make_run("one")).encode(data, "train", None)
    before = contents(found.folder)
    (found.folder / "ids.bin").write_bytes(before["ids.bin"][:-4])
    again = Encoder(letters, 100, make_run("two")).encode(data, "train", None)
    assert len(letters.calls) == 18
    assert contents(again.folder) == before
    store = Store(tmp_path)
    assert collect(store, dry_run=True) == []
    long_ago = time.time() - 15 * 24 * 3600
    os.utime(again.folder / "entry.json", (long_ago, long_ago))
    assert [(one.what, one.path) for one in collect(store)] == [("cache", again.folder)]
    assert not again.folder.exists()


def test_an_encoding_that_was_cut_off_is_made_again(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    run = make_run()
    broken = texts(make_data, tmp_path / "broken", [{"text": "a b"}, {"broken": True}])
    with pytest.raises(DataError, match=r"^row 2: it is broken. Mend it.$"):
        Encoder(Letters(), 100, run).encode(broken, "train", None)
    mended = texts(make_data, tmp_path / "mended", [{"text": "a b"}, {"text": "c d"}])
    assert len(Encoder(Letters(), 100, run).encode(mended, "train", None)) == 2


def test_several_processes_give_the_same_bytes_and_name_the_row_that_is_wrong(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    rows = [{"text": f"word {n} " + "z" * (n % 7)} for n in range(1200)]
    data = texts(make_data, tmp_path / "d", rows)
    one = Encoder(Letters(), 100, make_run("one"), processes=1).encode(data, "train", None)
    two = Encoder(Letters(), 100, make_run("two"), processes=2).encode(data, "train", None)
    assert contents(one.folder) == contents(two.folder)
    broken = texts(make_data, tmp_path / "broken", [*rows, {"broken": True}])
    with pytest.raises(DataError, match=r"^row 1201: it is broken"):
        Encoder(Letters(), 100, make_run("three"), processes=2).encode(broken, "train", None)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_ten_times_the_rows_take_hardly_more_memory(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    def peak(count: int) -> int:
        data = texts(make_data, tmp_path / f"d{count}", [{"text": "a " + "b" * 80}] * count)
        run = replace(make_run(f"of{count}"))
        tracemalloc.start()
        try:
            encoded: Encoded = Encoder(Letters(), 100, run, processes=1).encode(data, "train", None)
            plan: Plan = write_plan(run.scratch, encoded, Schedule(1, 4, 2, seed=1))
            assert len(plan) == count / 8
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(1600), peak(16000)
    assert large - small < 14400 * 100  # the tokens alone are 82 each, in Python eight bytes each


def test_rows_with_nothing_to_learn_are_counted_and_refused_above_a_share(
    make_run: MakeRun, make_data: Callable[..., Dataset], tmp_path: Path
) -> None:
    told: list[str] = []
    run = make_run(tell=lambda event: told.append(getattr(event, "text", "")))
    data = texts(make_data, tmp_path / "d", [{"text": "long" * 9 + " tail"}] * 3 + [{"text": "a bc"}] * 3)
    assert len(Encoder(Letters(), 30, run, max_silent_share=0.5).encode(data, "train", None)) == 3
    assert "3 of 6 rows were cut at 30 tokens" in told
    assert "3 of 6 rows have nothing to learn within 30 tokens: left out" in told
    with pytest.raises(DataError, match=r"3 of 6 rows have nothing to learn .* max_silent_share \(0.4\)"):
        Encoder(Letters(), 30, run, max_silent_share=0.4).encode(data, "train", None)
