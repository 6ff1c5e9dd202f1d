"""Brings the processes of a training together, and ends with them.

Where torchrun or Slurm started them, they meet at the address they were told. Else the leading one starts the
others on this machine, and gives them what it has: the configuration, the artifacts, and where its plan lies.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch.distributed import Store

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.place import Place
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain
from llmops_lightning.strategy import Strategy
from llmops_lightning.team import Team, at_address, at_file, join, leave

ENDS = 20.0
"""Seconds that the others are given to end by themselves."""
SHOWN = 600
"""Characters of a failed process's last words."""
PLAN, WORDS = "llmops/plan", "llmops/words"
"""What processes that meet at an address tell each other: where the plan lies, and why one of them ended."""
GONE = re.compile(r"closed by peer|reset by peer|broken pipe|connection was|timed out|NCCL", re.IGNORECASE)
REMEDY = "A status of -9 is often the system short of memory. The last checkpoint is kept."


@dataclass(frozen=True)
class Orders:
    """What another process of a training is told."""

    config: LightningTrain
    model: Model
    scratch: Path
    state: Path
    step: str
    seed: int
    meeting: Path
    place: Place


def expect_even(config: LightningTrain, run: StepRun, strategy: Strategy) -> None:
    """Refuse a number of processes that the plan cannot be shared among. Raises StepError."""
    size = run.place.size if run.place.size > 1 else strategy.processes
    if size > 1 and not strategy.several:
        raise StepError(
            f"the strategy {config.strategy.use} is for one process, and this is one of {size}",
            where=run.step,
            remedy=f"Set {run.step}.strategy=ddp, or start one process.",
        )
    if config.accumulate % size:
        raise StepError(
            f"the {config.accumulate} micro-batches of an optimizer step cannot be shared evenly among "
            f"{size} processes",
            where=run.step,
            remedy=f"Set {run.step}.accumulate to a multiple of {size}: with a smaller batch_size a step may "
            "have as many rows as before.",
        )


@contextlib.contextmanager
def crew(
    config: LightningTrain, run: StepRun, model: Model, strategy: Strategy, store: Store | None
) -> Iterator[Team]:
    """In the leading process: the team of all, once a plan lies in scratch. Raises StepError.

    `store` is where it meets others that are started already.
    """
    try:
        if store is not None:
            with _placed(run, strategy, store) as team:
                yield team
        elif strategy.processes > 1:
            with _started(config, run, model, strategy) as team:
                yield team
        else:
            yield Team()
    finally:
        leave()


@contextlib.contextmanager
def joined(run: StepRun, strategy: Strategy) -> Iterator[tuple[Team, Path]]:
    """In another process that torchrun or Slurm started: the team, and the leading process's scratch.

    Waits until there is a plan. Raises StepError when the leading process ends before.
    """
    try:
        store = at_address(run.place)
        scratch = Path(store.get(PLAN).decode())
        try:
            yield join(store, run.place, strategy.device), scratch
        except Exception as error:
            if not GONE.search(str(error)):
                store.set(WORDS, f"process {run.place.rank} of the training failed: {error!s:.{SHOWN}}")
            raise
    except RuntimeError as error:
        if GONE.search(str(error)):
            what = "the leading process of the training, or another one, is gone"
            raise StepError(what, where=run.step, remedy="Its own words say why.") from error
        raise
    finally:
        leave()


@contextlib.contextmanager
def _placed(run: StepRun, strategy: Strategy, store: Store) -> Iterator[Team]:
    store.set(PLAN, str(run.scratch.resolve()))
    try:
        yield join(store, run.place, strategy.device, lambda: store.check([WORDS]))
    except RuntimeError as error:
        if store.check([WORDS]):
            raise StepError(store.get(WORDS).decode(), where=run.step, remedy=REMEDY) from error
        if GONE.search(str(error)):
            what = "another process of the training is gone, without a word"
            remedy = f"What started the processes (torchrun, srun) says which one and how it ended. {REMEDY}"
            raise StepError(what, where=run.step, remedy=remedy) from error
        raise


@contextlib.contextmanager
def _started(config: LightningTrain, run: StepRun, model: Model, strategy: Strategy) -> Iterator[Team]:
    meeting = run.scratch / f"meeting-{uuid.uuid4().hex}"
    leading = Place(size=strategy.processes)
    orders = Orders(config, model, run.scratch, run.state, run.step, run.seed, meeting, leading)
    others = [_start(orders, rank) for rank in range(1, strategy.processes)]
    try:
        yield join(
            at_file(meeting, leading),
            leading,
            strategy.device,
            lost=lambda: any(other.poll() is not None for other in others),
        )
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
    place = replace(orders.place, rank=rank, local=rank)
    told = pickle.dumps({**vars(orders), "place": place})
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
        with contextlib.suppress(BrokenPipeError):  # it is gone already, which is seen where it is waited for
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
            remedy=REMEDY,
        ) from error


def _end(others: list[subprocess.Popen[bytes]]) -> None:
    for other in others:
        if other.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                other.stdin.close()
    for other in others:
        try:
            other.wait(ENDS)
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()
