"""The largest micro-batch is found by trying, in processes that get no more memory than they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_lightning import machine
from llmops_lightning.config import Ddp, LightningTrain
from llmops_lightning.fit_memory import Size, fitting, sizes, verdict
from llmops_lightning.trial import Row, Trial, Tried, measured, tried

Settings = Callable[..., LightningTrain]
PRIVATE = 1_500_000_000
"""Bytes: enough for the libraries and a few rows, not for a thousand rows at once."""


@pytest.fixture
def trial(base: Model, data: Dataset, tmp_path: Path, settings: Settings) -> Callable[..., Trial]:
    (tmp_path / "tmp").mkdir()

    def make(**changes: object) -> Trial:
        return Trial(settings(**changes), base, data, tmp_path, "train", seed=3)

    return make


def needing(most: int, asked: list[tuple[int, int]]) -> Callable[[Trial], Tried]:
    """Stands for a machine on which at most so many rows fit; more rows at once are faster until 4."""

    def attempt(trial: Trial) -> Tried:
        size, accumulate = trial.config.batch_size, trial.config.accumulate
        asked.append((size, accumulate))
        fits = size <= most
        return Tried(Row("{}", 10, 1), fits, 1e9 * size, accumulate * max(1.0, size / 4))

    return attempt


@pytest.mark.parametrize("most", [1, 2, 5, 12, 24])
def test_the_largest_size_is_found_in_few_tries_with_the_same_rows_in_a_step(
    trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("llmops_lightning.fit_memory.available_cores", lambda: 2)
    asked: list[tuple[int, int]] = []
    told: list[Size] = []
    found = fitting(trial(batch_size=4, accumulate=6), needing(most, asked), told.append)
    assert asked[0] == (4, 2)  # the recipe's own first, and no more of them than run at once
    assert len(asked) <= 4
    assert sorted(told, key=lambda size: size.batch_size) == found
    assert all(size.batch_size * size.accumulate == 24 for size in found)
    fitted = max(size for size in (1, 2, 3, 4, 6, 8, 12, 24) if size <= most)
    said = verdict(found, trial())
    assert said["largest"] == f"train.batch_size={fitted} train.accumulate={24 // fitted}"


def test_the_fastest_may_be_another_one_than_the_largest(trial: Callable[..., Trial]) -> None:
    def attempt(trial: Trial) -> Tried:
        return Tried(Row("{}", 10, 1), True, 1e9, 9.0 if trial.config.batch_size == 8 else 1.0)

    said = verdict(fitting(trial(batch_size=4, accumulate=2), attempt, lambda size: None), trial())
    assert said == {
        "largest": "train.batch_size=8 train.accumulate=1",
        "fastest": "train.batch_size=4 train.accumulate=2",
    }


def test_sizes_leave_each_process_whole_micro_batches(settings: Settings) -> None:
    config = settings(batch_size=6, accumulate=2)
    assert sizes(config) == [1, 2, 3, 4, 6, 12]
    shared = replace(config, strategy=replace(config.strategy, use="ddp", config=Ddp(processes=2)))
    assert sizes(shared) == [1, 2, 3, 6]


def test_where_nothing_fits_it_says_what_to_change(trial: Callable[..., Trial]) -> None:
    bounded = replace(trial(batch_size=4), limit=2e9)
    found = fitting(bounded, needing(0, []), lambda size: None)
    with pytest.raises(
        StepError, match=r"train: not even train.batch_size=1 fits into 2.0 GB. Set train.max"
    ):
        verdict(found, bounded)


def test_a_trial_takes_two_steps_on_the_longest_row_and_leaves_nothing(
    trial: Callable[..., Trial], data: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    heard: list[Row] = []
    came = measured(trial(batch_size=3, accumulate=2), tmp_path / "here", heard.append)
    lengths = [len(row["messages"][1]["content"]) for row in data.read("train")]
    lines = data.path("train").read_text().splitlines()
    assert came.row == heard[0]
    assert came.row is not None
    assert len(lines[lines.index(came.row.line.strip())]) == max(map(len, lines))
    assert came.row.tokens > max(lengths)
    assert came.fits
    assert came.peak > 1e8
    assert came.seconds > 0
    rows = (tmp_path / "here" / "rows" / "train.jsonl").read_text().splitlines()
    assert rows == [came.row.line.strip()] * 6
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 1, "the data's own"


def test_what_does_not_fit_ends_its_own_process_alone(
    trial: Callable[..., Trial],
    make_data: Callable[..., Dataset],
    dialogue: Callable[..., dict[str, object]],
    tmp_path: Path,
) -> None:
    long = make_data(tmp_path / "long", [dialogue("a" * 120, "b" * 80)], [])
    wide = replace(trial(batch_size=1, accumulate=997, threads=1), data=long, limit=PRIVATE)
    sizes = fitting(wide, tried, lambda size: None)
    assert [(size.batch_size, size.fits) for size in sizes] == [(1, True), (997, False)]
    assert 0 < sizes[0].peak < PRIVATE


def test_another_failure_is_told_as_it_is(trial: Callable[..., Trial], data: Dataset) -> None:
    data.path("train").write_text("broken\n")
    with pytest.raises(StepError, match="row 1: the row is no JSON"):
        tried(trial())


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.mark.parametrize(
    ("member", "place"),
    [("0::/a/b", "a"), ("0::/not/here", ""), ("4:memory:/x\n0::/", "memory/x")],
)
def test_a_containers_limit_bounds_what_is_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str, place: str
) -> None:
    for name, file in (("MEMBER", "cgroup"), ("MEMORY", "meminfo")):
        monkeypatch.setattr(machine, name, tmp_path / file)
    monkeypatch.setattr(machine, "CONTROL", tmp_path / "fs")
    (tmp_path / "cgroup").write_text(member + "\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 900000 kB\n")
    (tmp_path / "fs" / "a" / "b").mkdir(parents=True)
    assert machine.available_memory() == 900_000 * 1024
    second = {"memory__max": 5000, "memory__current": 3000, "memory__stat": "inactive_file 500"}
    first = {
        "memory__limit_in_bytes": 5000,
        "memory__usage_in_bytes": 3000,
        "memory__stat": "total_inactive_file 500",
    }
    group(tmp_path / "fs" / place, **(first if place.startswith("memory") else second))
    assert machine.available_memory() == 2500
    assert machine.whole_memory() == 5000
    group(tmp_path / "fs" / "a" / "b", memory__max="max", memory__current=1, memory__stat="")
    assert machine.available_memory() == 2500
