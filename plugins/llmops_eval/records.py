"""What is kept of an evaluation beside its numbers: samples.jsonl and rows.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_eval.comparison import row_values, statistics
from llmops_eval.measuring import Measured
from llmops_eval.metric import Score
from llmops_eval.rows import Row


@dataclass(frozen=True)
class Judged:
    """What one model did, and its scores."""

    measured: Measured
    scores: Sequence[Score]


def write(folder: Path, rows: Sequence[Row], judged: Mapping[str, Judged], shown: Sequence[int]) -> None:
    """Writes both files; `shown` lists the rows of samples.jsonl."""
    _lines(folder / "samples.jsonl", (_sample(rows[place], place, judged) for place in shown))
    sides = {name: _sides(one, len(rows)) for name, one in judged.items()}
    _lines(
        folder / "rows.jsonl",
        (
            {
                "row": row.place,
                "prompt": row.prompt,
                "reference": row.reference,
                **{name: side[at] for name, side in sides.items()},
            }
            for at, row in enumerate(rows)
        ),
    )


def _sample(row: Row, place: int, judged: Mapping[str, Judged]) -> dict[str, Any]:
    baseline = judged.get("baseline")
    return {
        "prompt": row.prompt,
        "reference": row.reference,
        "candidate": judged["candidate"].measured.generations[place],
        "baseline": baseline.measured.generations[place] if baseline else None,
    }


def _sides(judged: Judged, count: int) -> list[dict[str, Any]]:
    """Per row: the answer where one was written, each score of the row, and what the scores add up."""
    values = row_values(judged.scores)
    tables = {score.name: statistics(score).tolist() for score in judged.scores}
    return [
        {
            **({"answer": answer} if (answer := judged.measured.generations.get(row)) is not None else {}),
            "scores": values[row],
            "statistics": {name: table[row] for name, table in tables.items()},
        }
        for row in range(count)
    ]


def _lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            # sorted, so that the bytes do not depend on the order in which metrics are listed
            file.write(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n")
