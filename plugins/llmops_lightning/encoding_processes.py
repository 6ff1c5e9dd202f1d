"""Rows become examples in this process, or in several where there are rows enough to pay for them."""

from __future__ import annotations

import json
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from llmops_core.errors import DataError
from llmops_lightning.machine import available_cores
from llmops_lightning.objective import Example, Objective

Line = tuple[int, str]
"""A line of a split with its number, from 1."""
Coded = Sequence[tuple[int, Sequence[Example]]]
ROWS_A_PROCESS = 20_000
"""A process takes seconds to start: it must save more."""
AHEAD = 3
"""Chunks waiting for each process: what bounds the memory."""


def encoded_chunks(
    objective: Objective,
    length: int,
    chunks: Iterable[Sequence[Line]],
    processes: int | None,
    rows: int,
) -> Iterator[Coded]:
    """Each chunk's rows as examples, in order. Raises DataError naming the row."""
    count = min(available_cores(), rows // ROWS_A_PROCESS) if processes is None else processes
    if count < 2:
        for chunk in chunks:
            yield encode_lines(objective, length, chunk)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    waiting: deque[Future[Coded]] = deque()
    with ProcessPoolExecutor(count, context, _Held.hold, (objective, length)) as pool:
        try:
            for chunk in chunks:
                if len(waiting) == AHEAD * count:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(_Held.encode, chunk))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def encode_lines(objective: Objective, length: int, lines: Sequence[Line]) -> Coded:
    """Lines as examples."""
    return [(number, _encode_line(objective, length, number, line)) for number, line in lines]


def _encode_line(objective: Objective, length: int, number: int, line: str) -> Sequence[Example]:
    try:
        return objective.encode(json.loads(line), length)
    except DataError as error:
        told = error.problem
        raise DataError(told.what, where=f"row {number}", remedy=told.remedy) from error
    except json.JSONDecodeError as error:
        raise DataError(f"the row is no JSON: {error}", where=f"row {number}") from error


class _Held:
    """What a process was started with: sent once, as a tokenizer takes a while to read."""

    objective: Any = None
    length = 0

    @classmethod
    def hold(cls, objective: Objective, length: int) -> None:
        cls.objective, cls.length = objective, length

    @classmethod
    def encode(cls, lines: Sequence[Line]) -> Coded:
        return encode_lines(cls.objective, cls.length, lines)
