"""The data stage `dialogues`: read, pass through the steps, split, write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Dataset
from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_data.config import DialogueData
from llmops_data.leakage import leaked
from llmops_data.reading import read_all
from llmops_data.rows import Link, Outcome, Row, changed
from llmops_data.splitting import split_rows


def dialogues(config: DialogueData, run: StepRun) -> Dataset:
    """Conversations of shape "messages" in train, validation and test, with what became of every row.

    Beside the splits, duplicates.jsonl shows some of the duplicates found: step, what was done, similarity
    (1: equal), how many the first one has, and both texts. Raises DataError when too much is broken or no
    row is left; FetchError.
    """
    whole = len(config.steps) + 2
    run.progress(0, whole)
    read = read_all(config, run)
    rows: Sequence[Row] = read.rows
    funnel: list[dict[str, Any]] = [{"step": "read", "rows": len(rows), "note": read.note}]
    links: dict[str, Sequence[Link]] = {}
    for number, (name, part) in enumerate(config.steps.items(), 1):
        run.progress(number, whole)
        outcome = _outcome(rows, run.load(part)(part.config, run, rows=rows))
        rows, links[name] = outcome.rows, outcome.links
        funnel.append({"step": name, "rows": len(rows), "note": outcome.note})
        if not rows:
            raise DataError(f"the step {name} left no row ({outcome.note})", remedy=f"Loosen steps.{name}.")
    run.progress(whole - 1, whole)
    splits = split_rows(config.splits, rows, (link for found in links.values() for link in found))
    funnel.append(_last(config, read.rows, rows, splits, links))
    _write(config, run, splits, links)
    run.progress(whole, whole)
    counts = {name: len(split) for name, split in splits.items()}
    return Dataset(folder=run.folder, rows=counts, shape="messages", funnel=tuple(funnel))


def _outcome(before: Sequence[Row], given: Any) -> Outcome:
    """What a step gave, whether it gave only rows, an Outcome, or something like one."""
    if not hasattr(given, "rows"):
        rows = list(given)
        return Outcome(rows, changed(before, rows))
    rows = list(given.rows)
    return Outcome(rows, getattr(given, "note", "") or changed(before, rows), getattr(given, "links", ()))


def _last(
    config: DialogueData,
    read: Sequence[Row],
    rows: Sequence[Row],
    splits: Mapping[str, Sequence[Row]],
    links: Mapping[str, Sequence[Link]],
) -> dict[str, Any]:
    """The funnel's last line: the splits, and what a random one would have leaked."""
    left = sum(map(len, splits.values()))
    told = " + ".join(f"{len(split):,} {name}" for name, split in splits.items())
    if left < len(rows):
        told += f"; {len(rows) - left:,} over max_rows left out"
    entry: dict[str, Any] = {"step": "split", "rows": left, "note": told}
    if any(links.values()):
        leak = leaked(config.splits, read, {name: found for name, found in links.items() if found})
        entry["note"] = f"{told}; {leak}"
        entry["leaked"] = {"test": leak.test, "found": dict(leak.by_step)}
    return entry


def _write(
    config: DialogueData,
    run: StepRun,
    splits: Mapping[str, Sequence[Row]],
    links: Mapping[str, Sequence[Link]],
) -> None:
    empty = [name for name, split in splits.items() if not split and getattr(config.splits, name).share > 0]
    if "train" in empty:
        remedy = "Give more rows, or raise splits.train.share."
        raise DataError("no row is left to train on: every one went to another split", remedy=remedy)
    if empty:
        run.warn(f"so few rows are left that {' and '.join(empty)} got none")
    for name, split in splits.items():
        _lines(run.folder / f"{name}.jsonl", (row.json() for row in split))
    if any(links.values()):
        _lines(run.folder / "duplicates.jsonl", _examples(config.examples, links))


def _examples(count: int, links: Mapping[str, Sequence[Link]]) -> Iterable[dict[str, Any]]:
    """The most telling duplicates of each step: the unequal ones, then the most copied."""
    found = {name: step for name, step in links.items() if step}
    for name, step in found.items():
        copies = Counter(link.first.origin for link in step)
        ranked = sorted(step, key=lambda link: (link.similarity == 1.0, -copies[link.first.origin]))
        told: dict[tuple[str, float], Link] = {}
        for link in ranked:
            told.setdefault((link.first.origin, link.similarity), link)
        for link in list(told.values())[: count // len(found)]:
            yield {
                "step": name,
                "done": "left out" if link.dropped else "kept together",
                "similarity": link.similarity,
                "copies": copies[link.first.origin],
                "first": f"{link.first.origin}: {link.first.text}",
                "second": f"{link.second.origin}: {link.second.text}",
            }


def _lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
