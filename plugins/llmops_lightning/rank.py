"""One of the other processes of a training: `python -m llmops_lightning.rank`, started by crew.py.

It reads its orders from standard input. When the leading process is gone, its end of the pipe closes, and
this process ends too.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading

from llmops_core.plugins import load
from llmops_core.step import StepRun
from llmops_core.worker import Worker
from llmops_lightning.assisting import assist
from llmops_lightning.crew import Orders
from llmops_lightning.strategy import Strategy
from llmops_lightning.team import at_file, join, leave


def main() -> None:
    """Follow the orders on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    count = int.from_bytes(sys.stdin.buffer.read(8), "big")
    # what the leading process of the same training wrote, on a pipe nobody else has
    orders = Orders(**pickle.loads(sys.stdin.buffer.read(count)))  # noqa: S301
    threading.Thread(target=_end_with_the_leading_one, daemon=True).start()
    run = StepRun(
        folder=orders.scratch,
        scratch=orders.scratch,
        cache=orders.state,
        state=orders.state,
        step=orders.step,
        seed=orders.seed,
        loader=Worker(load()).load_part,
        place=orders.place,
    )
    strategy: Strategy = run.load(orders.config.strategy)(orders.config.strategy.config, run)
    team = join(at_file(orders.meeting, orders.place), orders.place, strategy.device)
    try:
        assist(orders.config, run, orders.model, strategy, team)
    except KeyboardInterrupt:
        sys.exit(1)  # all of them were told to end
    leave()


def _end_with_the_leading_one() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
