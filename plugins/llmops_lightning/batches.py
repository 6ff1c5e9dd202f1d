"""Gives Lightning the planned steps as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmops_lightning.encoding import Encoded
from llmops_lightning.objective import Objective
from llmops_lightning.plan import Plan
from llmops_lightning.team import Team


@dataclass
class StepLoader:
    """Gives one optimizer step after another, from `start` on: {"planned": Planned, "batches": [Batch]}.

    The batches are this process's.
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
            batches = [
                self.objective.collate([[self.examples[at] for at in row] for row in rows])
                for rows in self.team.share(planned.batches)
            ]
            yield {"batches": batches, "planned": planned}
