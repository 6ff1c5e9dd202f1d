"""Gives Lightning the planned steps as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_lightning.encoding import Encoded
from llmops_lightning.objective import Batch, Objective
from llmops_lightning.plan import Plan
from llmops_lightning.planner import Row
from llmops_lightning.spread import MicroBatch
from llmops_lightning.team import Team


@dataclass
class StepLoader:
    """Gives one optimizer step after another, from `start` on: {"planned": Planned, "batches": [MicroBatch]}.

    The micro-batches are this process's, and as many as every other process's.
    """

    plan: Plan
    examples: Encoded
    objective: Objective
    team: Team = field(default_factory=Team)
    start: int = 0
    batch_size: int = field(default=1, init=False)

    def __len__(self) -> int:
        return len(self.plan) - self.start

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for planned in self.plan.steps(self.start):
            shared = self.team.share(planned.batches)
            batches = [MicroBatch(self._collated(rows), counts) for rows, counts in shared]
            yield {"batches": batches, "planned": planned}

    def _collated(self, rows: Sequence[Row]) -> Batch:
        return self.objective.collate([[self.examples[at] for at in row] for row in rows])
