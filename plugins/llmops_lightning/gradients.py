"""The gradients of an optimizer step, its micro-batches one after another or at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from llmops_lightning.objective import Batch
from llmops_lightning.spread import Learner, MicroBatch, seeded

Given = TypeVar("Given")
Made = TypeVar("Made")

WORTH = 1.1
"""How much faster more threads must be to be taken."""


@dataclass
class Threads:
    """Does things in order, up to `count` of them at once, each on one thread of its own.

    Results do not depend on the number: what each gives is bitwise the same wherever it runs, and they
    are handed out in order.
    """

    most: int
    fixed: int | None = None
    speeds: dict[int, float] = field(default_factory=dict)
    calls: int = 0

    def __post_init__(self) -> None:
        self.most = max(1, self.most)
        self.pool = ThreadPoolExecutor(self.most, "llmops-train", initializer=_alone)

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(wait=True, cancel_futures=True)

    def candidates(self) -> list[int]:
        """The numbers worth trying: powers of two, and the most."""
        return sorted({*(2**power for power in range(self.most.bit_length())), self.most} - {0})

    def count(self) -> int:
        """How many to run at once now: each candidate is tried on two steps, after a warm-up."""
        if self.fixed is not None:
            return min(self.fixed, self.most)
        candidates = [count for count in self.candidates() if count <= self.most]
        trial = (self.calls - 1) // 2
        if len(candidates) == 1 or trial < 0:
            return candidates[0]
        if trial < len(candidates):
            return candidates[trial]
        best = candidates[0]
        for count in candidates[1:]:
            if self.speeds.get(count, 0) > WORTH * self.speeds.get(best, 0):
                best = count
        return best

    def timed(self, work: Callable[[], Made], amount: float) -> Made:
        """Do one optimizer step's work, and remember how fast it went."""
        count, began = self.count(), time.perf_counter()
        made = work()
        speed = amount / (time.perf_counter() - began)
        if self.calls:
            self.speeds[count] = max(self.speeds.get(count, 0.0), speed)
        self.calls += 1
        return made

    def in_order(
        self, function: Callable[[Given], Made], items: Iterable[Given], count: int
    ) -> Iterator[Made]:
        """`function` of each item, in the items' order, `count` of them at once."""
        ahead: list[Future[Made]] = []
        try:
            for item in items:
                if len(ahead) == count:
                    yield ahead.pop(0).result()
                ahead.append(self.pool.submit(function, item))
            while ahead:
                yield ahead.pop(0).result()
        finally:
            for future in ahead:
                future.cancel()


def _alone() -> None:
    torch.set_num_threads(1)


def one_thread() -> AbstractContextManager[None]:
    """Each operation on one thread.

    Several inside one matrix product wait for each other, on a busy machine mostly that; and their
    number would change the last bits of the result.
    """
    return on_threads(1)


@contextlib.contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Each operation on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_gradients(
    learner: Learner, batches: Sequence[MicroBatch], weight: int, threads: Threads | None = None
) -> float:
    """Put into `.grad` the gradient of the summed loss divided by `weight`; gives that loss.

    On `threads` random numbers have no order, so nothing may draw any there.
    """
    if threads is None:
        return sum(_backward(learner, one.batch, weight) for one in seeded(batches))
    at_once = [one.batch for one in batches]
    size = sum(tensor.numel() for batch in at_once for tensor in batch.values())
    return threads.timed(lambda: _at_once(learner, at_once, weight, threads), size)


def _backward(learner: Learner, batch: Batch, weight: int) -> float:
    loss = learner(batch) / weight
    loss.backward()
    return float(loss.detach())


def _at_once(learner: Learner, batches: Sequence[Batch], weight: int, threads: Threads) -> float:
    learning = list(learner.learning().values())

    def of(batch: Batch) -> tuple[float, Sequence[Tensor | None]]:
        loss = learner(batch) / weight
        return float(loss.detach()), torch.autograd.grad(loss, learning, allow_unused=True)

    total = 0.0
    for loss, gradients in threads.in_order(of, batches, threads.count()):
        total += loss
        for parameter, gradient in zip(learning, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
    return total


def summed_loss(learner: Learner, parts: Sequence[Batch], threads: Threads | None = None) -> float:
    """The loss of all batches, without learning."""

    def of(batch: Batch) -> float:
        with torch.no_grad():
            return float(learner(batch))

    if threads is None:
        return sum(map(of, parts))
    return sum(threads.in_order(of, parts, threads.fixed or threads.most))
