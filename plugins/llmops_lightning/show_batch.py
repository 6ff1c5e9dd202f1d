"""The first examples of a training as a person can check them: each token's text, and whether it has loss."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from llmops_core import wording
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
    """One example of the plan."""

    row: int
    """The line of the split it comes from."""
    tokens: int
    learned: int
    """Tokens with loss."""
    cut: bool
    pieces: tuple[Piece, ...]

    def text(self) -> Any:
        """As a rich Text: what is learned is green, and in brackets for eyes and terminals without colour."""
        from rich.text import Text

        cut = ", the rest of the row is cut off" if self.cut else ""
        found = Text()
        found.append(
            f"row {self.row} · {self.learned} of {self.tokens} tokens are learned{cut}\n", style="bold"
        )
        for piece, learned in self.pieces:
            text = visible(piece)
            found.append(f"⟦{text}⟧" if learned else text, style="green" if learned else "dim")
        return found


@dataclass(frozen=True)
class ShownBatch:
    """Examples of a training's first steps, and what was counted of all."""

    examples: Sequence[Shown]
    counted: Mapping[str, int]
    """rows, cut, silent, examples, max_length; and tokens, loss_tokens, padded_tokens of the first step."""

    def texts(self) -> Iterator[Any]:
        """As rich Texts: each example, then the counts."""
        from rich.text import Text

        for one in self.examples:
            yield one.text()
            yield Text()
        yield Text(self.summary())

    def summary(self) -> str:
        """What was counted, in two lines."""
        counted = self.counted
        step = (
            f"first optimizer step: {counted['loss_tokens']:,} of {counted['tokens']:,} tokens are learned, "
            f"{counted['padded_tokens'] - counted['tokens']:,} more are padding"
        )
        rows = wording.counted(counted["rows"], "row")
        whole = (
            f"all data: {rows}, {counted['cut']:,} cut at {counted['max_length']:,} tokens, "
            f"{counted['silent']:,} left out with nothing to learn"
        )
        return f"{step}\n{whole}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        examples = [
            {**vars(one), "pieces": [{"text": text, "learned": learned} for text, learned in one.pieces]}
            for one in self.examples
        ]
        return {**self.counted, "shown": examples}


def show_batch(
    config: LightningTrain, run: StepRun, *, model: Model, data: Dataset, count: int = 4
) -> ShownBatch:
    """The first `count` examples in the order of training; nothing is trained."""
    tokenizer = load_tokenizer(model)
    # a step has an example at least; what comes later need not be planned
    config = replace(config, max_steps=min(count, config.max_steps or count), validation_rows=0)
    length = longest_row(config, model, run)
    prepared = prepare(config, run, data, length, (tokenizer, load_network(model)))
    first = next(iter(prepared.plan.steps()))
    places = (at for step in prepared.plan.steps() for batch in step.batches for row in batch for at in row)
    facts = prepared.examples.facts
    counted = {
        **{name: facts[name] for name in ("rows", "cut", "silent")},
        **{name: getattr(first, name) for name in ("tokens", "loss_tokens", "padded_tokens")},
        "max_length": length,
    }
    examples = [prepared.examples[at] for at in islice(places, count)]
    return ShownBatch([shown(one, tokenizer) for one in examples], counted)


def shown(example: Example, tokenizer: Any) -> Shown:
    """An example decoded."""
    learned = sum(part.weight for part in example.parts)
    return Shown(example.row, example.length, learned, example.cut, tuple(pieces_of(example, tokenizer)))


def pieces_of(example: Example, tokenizer: Any) -> Iterator[Piece]:
    """An example's text in runs of tokens with loss and without; its sequences are parted by a line."""
    for place, part in enumerate(example.parts):
        if place:
            yield "\n---\n", False
        tokens = zip(part.ids, part.labels, strict=True)
        for learned, run in groupby(tokens, key=lambda token: token[1] != NO_LOSS):
            yield tokenizer.decode([token for token, _ in run]), learned


def visible(text: str) -> str:
    """The text with control characters, which a terminal would obey, spelled out."""
    return "".join(
        one if one in "\n\t" or unicodedata.category(one) != "Cc" else f"\\x{ord(one):02x}" for one in text
    )
