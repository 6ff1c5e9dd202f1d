"""The rows that are watched but not learned from."""

from __future__ import annotations

from collections.abc import Sequence

from llmops_lightning.config import LightningTrain
from llmops_lightning.encoding import Encoded
from llmops_lightning.objective import Batch, Objective
from llmops_lightning.team import Team


def validation_batches(
    config: LightningTrain, objective: Objective, found: Encoded | None, team: Team
) -> Sequence[tuple[Batch, int]]:
    """This process's batches, rows of like length together, each with the tokens that have loss in it."""
    if found is None:
        return ()
    order = sorted(range(len(found)), key=lambda at: int(found.lengths[at]))
    groups = [order[at : at + config.batch_size] for at in range(0, len(order), config.batch_size)]
    return [
        (objective.collate([[found[at]] for at in group]), int(sum(found.weights[at] for at in group)))
        for group in team.share(groups)
    ]
