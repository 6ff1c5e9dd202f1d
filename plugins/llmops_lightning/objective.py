"""What an objective is: how rows become examples, and examples a loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from llmops_core.step import StepRun

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Example:
    """A row as the model sees it."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """As long as `ids`: the token itself where it has loss, else -100. The first never has any."""

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return len(self.ids)

    @property
    def weight(self) -> int:
        """How many tokens have loss."""
        return sum(label != -100 for label in self.labels)


class Objective(Protocol):
    """What a `train/objective` gives. The trainer knows examples only by `length` and `weight`.

    An optimizer step minimises the sum of its batches' losses divided by the sum of their weights.
    """

    def examples(self, rows: Iterable[Mapping[str, Any]], max_length: int, run: StepRun) -> Sequence[Example]:
        """Rows as examples; those without a token to learn are left out, and told. Raises DataError."""

    def collate(self, examples: Sequence[Example]) -> Batch:
        """One micro-batch as tensors."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The sum of the batch's losses (a scalar), not their mean."""
