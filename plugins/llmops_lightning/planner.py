"""Which examples each optimizer step sees, in what order: a function of lengths and seed alone."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

WINDOW = 8
"""Optimizer steps over which rows are sorted by length: more means less padding and less chance."""
POOL = 4096
"""Examples that packs are made of at a time: more means fuller packs and less chance."""

Row = tuple[int, ...]
"""Positions of the examples in one row of a micro-batch."""


@dataclass(frozen=True)
class Schedule:
    """How a training goes through its examples."""

    epochs: int
    batch_size: int
    accumulate: int
    seed: int
    max_steps: int | None = None
    pack: int | None = None
    """Tokens of a pack; None: each row is one example."""


@dataclass(frozen=True)
class Planned:
    """One optimizer step."""

    step: int
    """From 1."""
    epoch: int
    """From 1."""
    loss_tokens: int
    """What the step's summed loss is divided by, over all micro-batches and processes."""
    tokens: int
    padded_tokens: int
    batches: tuple[tuple[Row, ...], ...]
    """Micro-batches of rows."""


def planned_steps(lengths: Sequence[int], weights: Sequence[int], schedule: Schedule) -> Iterator[Planned]:
    """Every optimizer step of the training, each example once an epoch."""
    return islice(_all_steps(lengths, weights, schedule), schedule.max_steps)


def _all_steps(lengths: Sequence[int], weights: Sequence[int], schedule: Schedule) -> Iterator[Planned]:
    number = 0
    for epoch in range(schedule.epochs):
        chance = random.Random(f"{schedule.seed} {epoch}")
        order = array("q", range(len(lengths)))
        chance.shuffle(order)
        steps = _buckets if schedule.pack is None else _packs
        for rows in steps(order, lengths, schedule, chance):
            number += 1
            size = schedule.batch_size
            batches = tuple(tuple(rows[at : at + size]) for at in range(0, len(rows), size))
            widths = [(len(batch), max(_length(row, lengths) for row in batch)) for batch in batches]
            yield Planned(
                number,
                epoch + 1,
                loss_tokens=int(sum(weights[at] for row in rows for at in row)),
                tokens=sum(_length(row, lengths) for row in rows),
                padded_tokens=sum(count * width for count, width in widths),
                batches=batches,
            )


def _length(row: Row, lengths: Sequence[int]) -> int:
    return int(sum(lengths[at] for at in row))


def _buckets(
    order: array[int], lengths: Sequence[int], schedule: Schedule, chance: random.Random
) -> Iterator[Sequence[Row]]:
    """The rows of each step of an epoch, those of like length together."""
    size = schedule.batch_size * schedule.accumulate
    for start in range(0, len(order), size * WINDOW):
        inside = sorted(order[start : start + size * WINDOW], key=lambda at: lengths[at])
        order[start : start + len(inside)] = array("q", inside)
    starts = [
        at for window in range(0, len(order), size * WINDOW) for at in _starts(window, size, len(order))
    ]
    chance.shuffle(starts)
    for start in starts:
        yield [(at,) for at in order[start : start + size]]


def _starts(window: int, size: int, end: int) -> range:
    return range(window, min(window + size * WINDOW, end), size)


def _packs(
    order: array[int], lengths: Sequence[int], schedule: Schedule, chance: random.Random
) -> Iterator[Sequence[Row]]:
    """The packs of each step of an epoch."""
    size = schedule.batch_size * schedule.accumulate
    waiting: list[Row] = []
    for start in range(0, len(order), POOL):
        made = fill(order[start : start + POOL], lengths, schedule.pack or 0)
        chance.shuffle(made)
        waiting += made
        while len(waiting) >= size:
            yield waiting[:size]
            del waiting[:size]
    if waiting:
        yield waiting


def fill(examples: Sequence[int], lengths: Sequence[int], room: int) -> list[Row]:
    """Examples in packs of at most `room` tokens: the longest first, each where it leaves least room over.

    An example longer than `room` gets a pack of its own.
    """
    packs: list[list[int]] = []
    with_room: dict[int, list[int]] = {}
    rooms = 0  # bit n is set when a pack has exactly n tokens of room
    for example in sorted(examples, key=lambda at: -lengths[at]):
        length = int(lengths[example])
        fitting = rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            pack = with_room[left].pop()
            if not with_room[left]:
                rooms &= ~(1 << left)
            packs[pack].append(example)
            left -= length
        else:
            pack, left = len(packs), room - length
            packs.append([example])
        if left > 0:
            with_room.setdefault(left, []).append(pack)
            rooms |= 1 << left
    return [tuple(pack) for pack in packs]
