from __future__ import annotations

import threading
import time

import pytest
import torch

from llmops_eval import workers


def test_jobs_run_side_by_side() -> None:
    meet = threading.Barrier(2, timeout=10)
    workers.work_off([meet.wait, meet.wait], 2, threading.Event(), lambda: None)


def test_a_failure_stops_the_others_and_is_raised() -> None:
    stop, began, later = threading.Event(), threading.Event(), []

    def patient() -> None:
        began.set()
        assert stop.wait(10)

    def fails() -> None:
        began.wait(10)
        raise ValueError("broken batch")

    with pytest.raises(ValueError, match="broken batch"):
        workers.work_off(
            [patient, fails, lambda: later.append(1), lambda: later.append(2)], 2, stop, lambda: None
        )
    assert stop.is_set()
    assert len(later) < 2


def test_an_interrupt_while_telling_ends_the_work() -> None:
    stop = threading.Event()

    def tell() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers.work_off([lambda: None, lambda: stop.wait(10) and None], 2, stop, tell)
    assert stop.is_set()


def test_torch_gets_its_threads_back_even_after_a_failure() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="inside"), workers.one_thread_a_batch():
            assert torch.get_num_threads() == 1
            raise ValueError("inside")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_work_that_gains_from_another_core_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(4), raising=False)
    assert workers.measured(lambda: time.sleep(0.05)) == 4


def test_work_that_waits_for_one_lock_gets_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(4), raising=False)
    lock = threading.Lock()

    def work() -> None:
        with lock:
            time.sleep(0.05)

    assert workers.measured(work) == 1
