"""One of the other processes of a training: `python -m llmops_lightning.rank`, started by crew.py.

It reads its orders from standard input, computes its share of every planned step, and writes nothing. When
the leading process is gone, its end of the pipe closes, and this process ends too.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading

import torch

from llmops_core.plugins import load
from llmops_core.step import StepRun
from llmops_core.worker import Worker
from llmops_lightning.batches import StepLoader
from llmops_lightning.crew import Orders
from llmops_lightning.encoding import Encoded
from llmops_lightning.gradients import one_thread
from llmops_lightning.module import Training
from llmops_lightning.objective import Objective
from llmops_lightning.plan import Plan
from llmops_lightning.running import run_steps
from llmops_lightning.strategy import Strategy
from llmops_lightning.team import join, leave
from llmops_lightning.tuning import Tuning
from llmops_lightning.validation import validation_batches
from llmops_lightning.weights import load_network, load_tokenizer


def main() -> None:
    """Follow the orders on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    count = int.from_bytes(sys.stdin.buffer.read(8), "big")
    # what the leading process of the same training wrote, on a pipe nobody else has
    orders = Orders(**pickle.loads(sys.stdin.buffer.read(count)))  # noqa: S301
    threading.Thread(target=_end_with_the_leading_one, daemon=True).start()
    follow(orders)


def follow(orders: Orders) -> None:
    """Compute this process's share of every step."""
    config = orders.config
    run = StepRun(
        folder=orders.scratch,
        scratch=orders.scratch,
        cache=orders.state,
        state=orders.state,
        step=orders.step,
        seed=orders.seed,
        loader=Worker(load()).load_part,
    )
    tuning: Tuning = run.load(config.tuning)(config.tuning.config, run)
    strategy: Strategy = run.load(config.strategy)(config.strategy.config, run)
    with one_thread():
        tokenizer, network = load_tokenizer(orders.model), load_network(orders.model, **tuning.loading)
        objective: Objective = run.load(config.objective)(
            config.objective.config, run, tokenizer=tokenizer, network=network
        )
        torch.manual_seed(run.seed)
        training = Training(tuning.apply(network), objective, config, run)
        training.team = join(orders.meeting, orders.rank, orders.size, strategy.device)
        split = run.scratch / "encoded-validation"
        validation = Encoded(split) if config.validation_rows and split.is_dir() else None
        training.validation = validation_batches(config, objective, validation, training.team)
        examples = Encoded(run.scratch / "encoded-train")
        loader = StepLoader(Plan(run.scratch), examples, objective, training.team)
        run_steps(training, loader, strategy, orders.known)
    leave()


def _end_with_the_leading_one() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
