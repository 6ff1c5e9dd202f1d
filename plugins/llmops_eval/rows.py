"""The rows that are scored: chosen from a split, and as each model's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import DataError
from llmops_eval.batches import evenly_spread
from llmops_eval.config import AnswersEvaluate
from llmops_eval.encoding import Encoded, Messages, encode


@dataclass(frozen=True)
class Row:
    """A row that is scored: its place in the split, counted from 0, and its conversation."""

    place: int
    messages: Messages

    @property
    def reference(self) -> str:
        """The answer of the data."""
        return str(self.messages[-1]["content"])

    @property
    def prompt(self) -> str:
        """What was asked, for a person to read."""
        if len(self.messages) == 2:
            return str(self.messages[0]["content"])
        return "\n".join(f"{one['role']}: {one['content']}" for one in self.messages[:-1])


def choose(data: Dataset, config: AnswersEvaluate) -> list[Row]:
    """The rows of the split to score. Raises DataError when there is none."""
    if data.shape != "messages":
        raise DataError(f"the data has shape {data.shape}, and answers are scored in messages")
    if config.split not in data.rows:
        raise DataError(
            f"the data has no split {config.split}", remedy=f"It has: {', '.join(sorted(data.rows))}."
        )
    rows = [Row(place, row["messages"]) for place, row in enumerate(data.read(config.split))]
    if not rows:
        raise DataError(
            f"the split {config.split} has no row to score", remedy="Give it more data or a larger share."
        )
    return [rows[place] for place in evenly_spread(len(rows), config.max_rows)]


def tokens(rows: Sequence[Row], tokenizer: Any, split: str) -> list[Encoded]:
    """The rows as one model's tokens. Raises DataError that names the row."""
    found = []
    for row in rows:
        try:
            found.append(encode(row.messages, tokenizer))
        except DataError as error:
            problem = error.problem
            raise DataError(
                problem.what, where=f"row {row.place + 1} of {split}", remedy=problem.remedy
            ) from error
    return found


def fitting(
    encoded: Mapping[str, Sequence[Encoded]],
    models: Mapping[str, Model],
    config: AnswersEvaluate,
    warn: Callable[[str], None],
) -> list[int]:
    """The rows that fit every model's context, since both must see the same; what does not is told."""
    count = len(next(iter(encoded.values())))
    kept = [
        place
        for place in range(count)
        if all(
            _length(rows[place], config.max_new_tokens) <= models[name].context
            for name, rows in encoded.items()
        )
    ]
    shortest = min(model.context for model in models.values())
    if not kept:
        raise DataError(
            f"no row of {config.split} fits the model's context of {shortest} tokens",
            remedy=f"Score shorter rows, or lower max_new_tokens (now {config.max_new_tokens}).",
        )
    if len(kept) < count:
        warn(
            f"{count - len(kept)} of {count} rows are not scored: they or {config.max_new_tokens} new tokens "
            f"do not fit the context of {shortest} tokens"
        )
    return kept


def _length(row: Encoded, new: int) -> int:
    return max(len(row.before) + len(row.answer), len(row.prompt) + new)
