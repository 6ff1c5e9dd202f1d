"""The data stage `dialogues`: read, pass through the steps, split, write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Dataset
from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_data.config import DialogueData
from llmops_data.duplicates import examples
from llmops_data.leakage import leaked
from llmops_data.mixing import mixed
from llmops_data.pipeline import Passed, pass_through
from llmops_data.reading import read_sources
from llmops_data.shapes import written
from llmops_data.splitting import LEFT_OUT, NAMES, deal
from llmops_data.tallies import Tallies


def dialogues(config: DialogueData, run: StepRun) -> Dataset:
    """Rows of the config's shape in train, validation and test, with what became of every row.

    Beside the splits, duplicates.jsonl shows some of the duplicates found: step, what was done, similarity
    (1: equal), how many the first one has, and both texts. Raises DataError when too much is broken or no
    row is left; FetchError.
    """
    whole = len(config.steps) + 2
    run.progress(0, whole)
    passed = [mixed(config, run, read_sources(config, run))]
    with run.load(config.engine)(config.engine.config, run, config.workers) as engine:
        for one in pass_through(config.steps, run, passed[0], engine):
            passed.append(one)
            run.progress(len(passed) - 1, whole)
    reused = [one.name for one in passed[1:] if one.reused]
    if reused:
        run.log(f"unchanged and taken from before: {', '.join(reused)}")
    found = {one.name: one.links for one in passed if one.links}
    rows = passed[-1].rows
    dealt = deal(config.splits, rows, chain.from_iterable(found.values()))
    counts = {name: dealt.count(number) for number, name in enumerate(NAMES)}
    _check(config, run, counts)
    tallies = _write(config, run, passed[-1], dealt)
    if found:
        _lines(run.folder / "duplicates.jsonl", examples(config.examples, passed))
    unknown = [fact for fact in tallies.missing() if fact in config.facts]
    if unknown:
        run.warn(f"no row has {', '.join(unknown)}, which facts asks for: name it in sources.NAME.keep")
    last = {**_last(config, passed, counts), "by": tallies.document()}
    funnel = [*(one.entry for one in passed), last]
    run.progress(whole, whole)
    return Dataset(folder=run.folder, rows=counts, shape=config.shape, funnel=tuple(funnel))


def _last(config: DialogueData, passed: Sequence[Passed], counts: Mapping[str, int]) -> dict[str, Any]:
    """The funnel's last line: the splits, and what a random one would have leaked."""
    left, before = sum(counts.values()), len(passed[-1].rows)
    told = " + ".join(f"{count:,} {name}" for name, count in counts.items())
    if left < before:
        told += f"; {before - left:,} over max_rows left out"
    entry: dict[str, Any] = {"step": "split", "rows": left, "note": told}
    found = {one.name: one.links for one in passed if one.links}
    if found:
        leak = leaked(config.splits, passed[0].rows, found)
        entry["note"] = f"{told}; {leak}"
        entry["leaked"] = {"test": leak.test, "found": dict(leak.by_step)}
    return entry


def _check(config: DialogueData, run: StepRun, counts: Mapping[str, int]) -> None:
    empty = [name for name, count in counts.items() if not count and getattr(config.splits, name).share > 0]
    if "train" in empty:
        remedy = "Give more rows, or raise splits.train.share."
        raise DataError("no row is left to train on: every one went to another split", remedy=remedy)
    if empty:
        run.warn(f"so few rows are left that {' and '.join(empty)} got none")


def _write(config: DialogueData, run: StepRun, last: Passed, dealt: bytearray) -> Tallies:
    tallies = Tallies(filter(None, ("language", config.splits.stratify, *config.facts)))
    with ExitStack() as stack:
        files = [
            stack.enter_context((run.folder / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n"))
            for name in NAMES
        ]
        for row, split in zip(last.rows, dealt, strict=True):
            if split != LEFT_OUT:
                tallies.see(row, NAMES[split])
                line = json.dumps(written(row, config.shape, config.facts), ensure_ascii=False)
                files[split].write(line + "\n")
    return tallies


def _lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
