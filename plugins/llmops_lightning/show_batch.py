"""The first optimizer step as a person can check it: each token's text, and whether it has loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from llmops_core.artifacts import Dataset, Model
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain
from llmops_lightning.objective import NO_LOSS, Example
from llmops_lightning.train import longest_row, prepare
from llmops_lightning.weights import load_network, load_tokenizer

Piece = tuple[str, bool]
"""Text, and whether it is learned."""


@dataclass(frozen=True)
class Shown:
    """One example of the plan's first step."""

    row: int
    """The line of the split it comes from."""
    tokens: int
    learned: int
    """Tokens with loss."""
    pieces: tuple[Piece, ...]

    def text(self) -> Any:
        """As a rich Text: what is learned is green, and in brackets for eyes and terminals without colour."""
        from rich.text import Text

        found = Text()
        found.append(f"row {self.row} · {self.learned} of {self.tokens} tokens are learned\n", style="bold")
        for piece, learned in self.pieces:
            found.append(f"⟦{piece}⟧" if learned else piece, style="green" if learned else "dim")
        return found


def show_batch(
    config: LightningTrain, run: StepRun, *, model: Model, data: Dataset, count: int = 4
) -> Iterator[Shown]:
    """The first `count` examples of the first optimizer step; nothing is trained."""
    tokenizer = load_tokenizer(model)
    config = _few(config)
    prepared = prepare(config, run, data, longest_row(config, model, run), (tokenizer, load_network(model)))
    first = next(iter(prepared.plan.steps()))
    places = (at for batch in first.batches for row in batch for at in row)
    for at in islice(places, count):
        example = prepared.examples[at]
        learned = sum(part.weight for part in example.parts)
        yield Shown(example.row, example.length, learned, tuple(pieces_of(example, tokenizer)))


def pieces_of(example: Example, tokenizer: Any) -> Iterator[Piece]:
    """An example's text in runs of tokens with loss and without; its sequences are parted by a line."""
    for place, part in enumerate(example.parts):
        if place:
            yield "\n---\n", False
        tokens = zip(part.ids, part.labels, strict=True)
        for learned, run in groupby(tokens, key=lambda token: token[1] != NO_LOSS):
            yield tokenizer.decode([token for token, _ in run]), learned


def _few(config: LightningTrain) -> LightningTrain:
    """The same training, of which only the first step is planned."""
    return replace(config, max_steps=1, validation_rows=0)
