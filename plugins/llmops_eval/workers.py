"""Works on several batches at once, one processor core each.

A matrix product split over threads waits for the slowest of them, and collapses where another process
holds a core. Whole batches side by side do not wait for each other, and since each is computed by one
thread, what comes out does not depend on how many there are.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch

WORTH_A_CORE = 1.15
"""How much more must be done a second by twice the batches at once."""


class Tally:
    """Counts work done by several threads."""

    def __init__(self) -> None:
        self._done = 0.0
        self._lock = threading.Lock()

    def add(self, amount: float) -> None:
        """More is done."""
        with self._lock:
            self._done += amount

    @property
    def done(self) -> float:
        """All that was added."""
        with self._lock:
            return self._done


@contextmanager
def one_thread_a_batch() -> Iterator[None]:
    """Inside, torch computes each operation on the calling thread alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measured(work: Callable[[], Any]) -> int:
    """How many threads doing `work` at once do the most a second, at most one a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    work()
    best, speed = 1, _speed(work, 1)
    while best * 2 <= cores:
        faster = _speed(work, best * 2)
        if faster < speed * WORTH_A_CORE:
            break
        best, speed = best * 2, faster
    return best


def _speed(work: Callable[[], Any], count: int) -> float:
    """The best of two tries: other processes only ever make it slower."""
    times = []
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        # threads start with their first work, which is not what is measured
        for done in [threads.submit(time.sleep, 0.001) for _ in range(count)]:
            done.result()
        for _ in range(2):
            begun = time.perf_counter()
            for done in [threads.submit(work) for _ in range(count)]:
                done.result()
            times.append(time.perf_counter() - begun)
    return count / min(times)


def work_off(
    jobs: Sequence[Callable[[], None]], threads: int, stop: threading.Event, tell: Callable[[], None]
) -> None:
    """Does all jobs, in order of their start; `tell` is called on this thread now and then.

    The first failure, Ctrl-C included, sets `stop`, which the jobs heed, and is raised.
    """
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    futures = [pool.submit(job) for job in jobs]
    try:
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            tell()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
