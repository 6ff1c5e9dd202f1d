"""What an objective is: how rows become examples, and examples a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

Batch = Mapping[str, Tensor]
NO_LOSS = -100


@dataclass(frozen=True)
class Tokens:
    """One sequence. `labels` is as long as `ids`: the token itself where it has loss, else NO_LOSS."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def weight(self) -> int:
        """How many tokens have loss."""
        return sum(label != NO_LOSS for label in self.labels)

    def cut(self, length: int) -> Tokens:
        """Its first `length` tokens."""
        return Tokens(self.ids[:length], self.labels[:length])


@dataclass(frozen=True)
class Example:
    """What is learned from at once: one sequence, or several that belong together (a source and its
    target, a chosen answer and a rejected one)."""

    parts: tuple[Tokens, ...]
    weight: int
    """How much it counts in the denominator of its optimizer step's loss: its tokens with loss."""
    row: int = 0
    """The line of the split it comes from, from 1."""
    cut: bool = False
    """Whether tokens of its row were left out because it is too long."""

    @classmethod
    def of(cls, tokens: Tokens, *, cut: bool = False) -> Example:
        """An example of one sequence."""
        return cls((tokens,), tokens.weight, cut=cut)

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return sum(len(part.ids) for part in self.parts)


class Objective(Protocol):
    """What a `train/objective` gives. The trainer knows examples only by `length` and `weight`.

    An optimizer step minimises the sum of its batches' losses divided by the sum of their weights. It can
    be pickled: rows become examples in several processes.
    """

    @property
    def shapes(self) -> Sequence[str]:
        """The shapes of data sets it can learn from."""

    @property
    def packs(self) -> bool:
        """Whether several examples may lie in one row of a batch without seeing each other."""

    def identity(self) -> str:
        """All that decides which tokens a row becomes."""

    def encode(self, row: Mapping[str, Any], max_length: int) -> Sequence[Example]:
        """A row as examples of at most `max_length` tokens a sequence; weight 0: nothing to learn in it.

        Raises DataError for a row that no sure examples can be made of.
        """

    def collate(self, rows: Sequence[Sequence[Example]]) -> Batch:
        """One micro-batch as tensors. A row holds one example, or a pack of several."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The sum of the batch's losses (a scalar), not their mean."""
