"""Starts the other processes of a training, and ends with them.

They are given what this one has: the configuration, the artifacts, and the plan that lies in scratch.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain
from llmops_lightning.strategy import Strategy
from llmops_lightning.team import Team, join, leave

ENDS = 20.0
"""Seconds that the others are given to end by themselves."""
SHOWN = 600
"""Characters of a failed process's last words."""


@dataclass(frozen=True)
class Orders:
    """What another process of a training is told."""

    config: LightningTrain
    model: Model
    known: dict[str, str]
    scratch: Path
    state: Path
    step: str
    seed: int
    meeting: Path
    rank: int = 0
    size: int = 1


@contextlib.contextmanager
def crew(
    config: LightningTrain, run: StepRun, model: Model, strategy: Strategy, known: dict[str, str]
) -> Iterator[Team]:
    """The team of this process and those it starts, which end with the block. Raises StepError."""
    if strategy.processes == 1:
        try:
            yield Team()
        finally:
            leave()
        return
    meeting = run.scratch / f"meeting-{uuid.uuid4().hex}"
    orders = Orders(
        config, model, known, run.scratch, run.state, run.step, run.seed, meeting, size=strategy.processes
    )
    others = [_start(orders, rank) for rank in range(1, strategy.processes)]
    try:
        yield join(meeting, 0, strategy.processes, strategy.device)
    except RuntimeError as error:
        for rank, other in enumerate(others, 1):
            _expect_alive(rank, other, run, error)
        raise
    finally:
        leave()
        _end(others)
        meeting.unlink(missing_ok=True)
        for file in run.scratch.glob("words-*.txt"):
            file.unlink()


def _start(orders: Orders, rank: int) -> subprocess.Popen[bytes]:
    told = pickle.dumps({**vars(orders), "rank": rank})
    # a session of its own: Ctrl-C is for the leading process, whose end closes the pipe the others watch
    with (orders.scratch / f"words-{rank}.txt").open("wb") as words:
        other = subprocess.Popen(
            [sys.executable, "-m", "llmops_lightning.rank"],
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=words,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    if other.stdin is not None:
        other.stdin.write(len(told).to_bytes(8, "big") + told)
        other.stdin.flush()
    return other


def _expect_alive(rank: int, other: subprocess.Popen[bytes], run: StepRun, error: Exception) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        other.wait(2)
    if other.returncode:
        words = (run.scratch / f"words-{rank}.txt").read_text(encoding="utf-8", errors="replace").strip()
        raise StepError(
            f"process {rank} of the training ended with status {other.returncode}: {words[-SHOWN:]}",
            where=run.step,
            remedy="A status of -9 is often the system short of memory. The last checkpoint is kept.",
        ) from error


def _end(others: list[subprocess.Popen[bytes]]) -> None:
    for other in others:
        if other.stdin is not None:
            other.stdin.close()
    for other in others:
        try:
            other.wait(ENDS)
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()
