"""Whether the examples of a pack see each other: tried where and as they are learned, on a training's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from llmops_lightning.batches import StepLoader
from llmops_lightning.objective import NO_LOSS, Batch, Example, Objective

Pack = Sequence[Example]
SHARE = 0.1
"""Of what a change moves where everything is seen: what it may move by rounding where nothing is."""
ROWS = 2
"""Packs in a trial: some kernels tell examples apart in batches of one row only."""


def first_packs(loader: StepLoader) -> Sequence[Pack]:
    """The first packs of a plan that hold several examples, without those after the second."""
    rows = (row for step in loader.plan.steps() for batch in step.batches for row in batch if len(row) > 1)
    return [[loader.examples[at] for at in row[:2]] for row in islice(rows, ROWS)]


def isolates(loss: Callable[[Batch], float], objective: Objective, packs: Sequence[Pack]) -> bool:
    """Whether the loss of each pack's second example stays as it is while the first one changes.

    How much it moves without positions, where the second sees the first, tells what is more than rounding.
    """
    as_is, changed = (
        objective.collate([[_silent(pack[0], other), pack[1]] for pack in packs]) for other in (False, True)
    )
    apart = abs(loss(as_is) - loss(changed))
    together = abs(loss(_one_sequence(as_is)) - loss(_one_sequence(changed)))
    return apart <= SHARE * together


def _silent(example: Example, changed: bool) -> Example:
    parts = [
        replace(
            part,
            ids=(part.ids[-1],) * len(part.ids) if changed else part.ids,
            labels=(NO_LOSS,) * len(part.ids),
        )
        for part in example.parts
    ]
    return replace(example, parts=tuple(parts))


def _one_sequence(batch: Batch) -> Batch:
    return {name: tensor for name, tensor in batch.items() if name != "positions"}
