"""Passes rows through the steps, each kept by content: a step added at the end redoes only itself."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core.cache import Cache
from llmops_core.content import file_digest
from llmops_core.errors import DataError
from llmops_core.keys import code_digest, content
from llmops_core.keys import digest as digest_of
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_data.parallel import Engine, Processes
from llmops_data.rows import Link, Outcome, Row, told
from llmops_data.stored import RowsWriter, StoredLinks, StoredRows, write_links

ROWS, LINKS = "rows.arrow", "links.jsonl"
HERE = Processes(1)


@dataclass(frozen=True)
class Passed:
    """What came out of one step, on disk. `digest` names it by all that decided it."""

    name: str
    rows: StoredRows
    digest: str
    note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    links: StoredLinks | Sequence[Link] = ()
    reused: bool = False

    @property
    def entry(self) -> dict[str, Any]:
        """Its line of the funnel."""
        counts = {"counts": dict(self.counts)} if self.counts else {}
        return {"step": self.name, "rows": len(self.rows), "note": self.note, **counts}


@dataclass(frozen=True)
class Before:
    """The rows that a step is given, and where they may be looked at."""

    rows: StoredRows
    engine: Engine


def pass_through(
    steps: Mapping[str, Part], run: StepRun, read: Passed, engine: Engine = HERE
) -> Iterator[Passed]:
    """What each step gave, in order. Raises DataError when one leaves no row, and what a step raises."""
    before = read
    for name, part in steps.items():
        before = passed(name, part, run, before, engine)
        if not before.rows:
            raise DataError(f"the step {name} left no row ({before.note})", remedy=f"Loosen steps.{name}.")
        yield before


def passed(name: str, part: Part, run: StepRun, before: Passed, engine: Engine = HERE) -> Passed:
    """What a step makes of the rows, or made of the same ones before."""
    function = run.load(part)
    document = {
        "before": before.digest,
        "step": content(part, lambda place: Store(run.state).path_digest(place)),
        "code": code_digest(f"{function.__module__}:{function.__qualname__}"),
        "seed": run.seed,
    }
    cached = getattr(function, "cached", True)
    if not cached:
        document["once"] = uuid.uuid4().hex

    def make(folder: Path) -> Mapping[str, Any]:
        counts, note, links = _write(function, part, run, Before(before.rows, engine), folder)
        return {"note": note, "counts": counts, "links": links}

    entry = Cache(run.state, "data").entry(document, make)
    facts = entry.facts
    links = StoredLinks(entry.folder / LINKS, facts["links"]) if facts["links"] else ()
    rows = StoredRows(entry.folder / ROWS)
    # of what is made anew each time only the content tells whether later steps have to follow
    digest = digest_of(document) if cached else file_digest(entry.folder / ROWS)
    return Passed(name, rows, digest, facts["note"], facts["counts"], links, entry.reused)


def _write(
    function: Callable[..., Any], part: Part, run: StepRun, before: Before, folder: Path
) -> tuple[dict[str, int], str, int]:
    """Run a step and write what it gives; gives its counts, its note and the number of links."""
    rows = before.rows
    by_rows = getattr(function, "by_rows", False)
    counts: Counter[str] = Counter()
    seen = links = 0
    note = ""
    with RowsWriter(folder / ROWS) as writer:
        if by_rows and before.engine.takes(function, part, rows):
            for batch, done in before.engine.batches(function, part, run, rows):
                writer.add_batch(batch)
                counts.update(done.counts)
                seen += done.seen
                run.progress(seen, len(rows))
        else:
            for some in rows.parts() if by_rows else [rows]:
                outcome = outcome_of(function(part.config, run, rows=some))
                left, counted = accounted(some, outcome)
                for row in left:
                    writer.add(row)
                counts.update(counted())
                # only now: a step may find its links while its rows are taken
                links += write_links(folder / LINKS, outcome.links)
                note = outcome.note
                seen += len(some)
                run.progress(seen, len(rows))
    if by_rows:
        return _ranked(counts), told(_ranked(counts)), links
    return dict(+counts), note or told(+counts), links


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """What was counted, the most first: not in the order of batches, which depends on the engine before."""
    return dict(sorted((+counts).items(), key=lambda one: (-one[1], one[0])))


def accounted(
    before: Sequence[Row], outcome: Outcome
) -> tuple[Iterable[Row], Callable[[], Mapping[str, int]]]:
    """A step's rows, and what gives its counts once they were taken: its own, or what became of the rows."""
    if outcome.counts or outcome.note:
        return outcome.rows, lambda: outcome.counts
    counts = {"left out": len(before), "changed": 0}

    def watched() -> Iterator[Row]:
        earlier = iter(before)
        for row in outcome.rows:
            # both are in one order
            was = next((one for one in earlier if one.origin == row.origin), None)
            counts["changed"] += was is not None and was != row
            counts["left out"] -= counts["left out"] > 0
            yield row

    return watched(), lambda: counts


def outcome_of(given: Any) -> Outcome:
    """What a step gave, whether it gave only rows, an Outcome, or something like one."""
    if not hasattr(given, "rows"):
        return Outcome(given)
    return Outcome(
        given.rows, getattr(given, "note", ""), getattr(given, "links", ()), getattr(given, "counts", {})
    )
