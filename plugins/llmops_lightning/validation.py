"""The rows that are watched but not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmops_lightning.config import LightningTrain
from llmops_lightning.encoding import Encoded
from llmops_lightning.objective import Objective
from llmops_lightning.spread import MicroBatch
from llmops_lightning.team import Team


@dataclass(frozen=True)
class Validation:
    """What is watched."""

    batches: Sequence[MicroBatch] = ()
    """This process's."""
    weight: int = 0
    """The tokens with loss of all processes' batches."""


def validation_batches(
    config: LightningTrain, objective: Objective, found: Encoded | None, team: Team
) -> Validation:
    """This process's part, rows of like length together."""
    if found is None:
        return Validation()
    order = sorted(range(len(found)), key=lambda at: int(found.lengths[at]))
    groups = [order[at : at + config.batch_size] for at in range(0, len(order), config.batch_size)]
    batches = [
        MicroBatch(objective.collate([[found[at]] for at in group]), counts)
        for group, counts in team.share(groups)
    ]
    return Validation(batches, int(sum(found.weights)))
