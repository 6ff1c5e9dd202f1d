"""Tries what a batch size needs: two optimizer steps on copies of the longest row, in a process of its own.

That process cannot take this one with it, and is not allowed more memory than it was given.
"""

from __future__ import annotations

import errno
import multiprocessing
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import LlmopsError, Problem, StepError
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain

STEPS = 2
"""The second is where all is held at once: weights, gradients, the optimizer's state and activations."""
PATIENCE = 10.0
"""Seconds that a process is given to end by itself."""
STARVED = "can't start new thread"


@dataclass(frozen=True)
class Row:
    """The longest row as it stands in its split, and how many tokens the training sees of it."""

    line: str
    tokens: int
    many: int
    """How often it fits into a row of a micro-batch: more than once in packs."""


@dataclass(frozen=True)
class Trial:
    """What is to be tried; all of it can be sent to another process."""

    config: LightningTrain
    model: Model
    data: Dataset
    state: Path
    step: str
    seed: int
    device: str = "cpu"
    limit: float | None = None
    """The most bytes that a process may hold, on its accelerator where it has one; None: what there is."""
    row: Row | None = None
    """None: it has to be found first."""


@dataclass(frozen=True)
class Tried:
    """What came of it."""

    row: Row | None
    fits: bool
    peak: float = 0.0
    """Bytes at most held by the leading process, on its accelerator where it has one."""
    seconds: float = 0.0
    """For the second optimizer step."""


class Done(BaseException):
    """Ends a training that has taken all steps that are of interest."""


def tried(trial: Trial) -> Tried:
    """What comes of a trial, in a process that is gone afterwards. Raises StepError for other failures."""
    context = multiprocessing.get_context("spawn")
    hears, tells = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(tells, trial))
    child.start()
    tells.close()
    row = trial.row
    try:
        while True:
            answer = hears.recv()
            if isinstance(answer, Problem):
                raise StepError(answer.what, where=answer.where, remedy=answer.remedy)
            if isinstance(answer, Tried):
                return answer
            row = answer
    except EOFError:
        # without a word: the system ended it, or a library did that got no memory
        return Tried(row, fits=False)
    finally:
        hears.close()
        child.terminate()
        child.join(PATIENCE)
        child.kill()
        child.join()


def _answer(tells: Connection, trial: Trial) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="trial-", dir=trial.state / "tmp") as folder:
            tells.send(measured(trial, Path(folder), tells.send))
    except LlmopsError as error:
        tells.send(error.problem if hasattr(error, "problem") else Problem(trial.step, str(error)))
    except Exception as error:
        tells.send(Problem(trial.step, f"{type(error).__name__}: {error}"))
    finally:
        tells.close()


def _end(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def measured(trial: Trial, folder: Path, tell: Any = lambda row: None) -> Tried:
    """Try it in this process; `tell` is called with the longest row where it had to be found."""
    from llmops_core.memory import PeakMemory
    from llmops_lightning.memory import peak
    from llmops_lightning.train import train

    run = _run(trial, folder)
    if trial.limit is not None:
        _bound(trial.limit, trial.device)
    row: Row | None = None
    times: list[float] = []

    def watch(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            times.append(time.perf_counter())
            if event.done == STEPS:
                raise Done

    PeakMemory()  # sets the mark back: what counts begins here
    run = replace(run, tell=watch)
    try:
        row = trial.row or longest(trial, run)
        tell(row)
        # tokens of copies are of no use later: they are not kept in the store
        apart = replace(run, state=folder)
        train(_config(trial.config), apart, model=trial.model, data=_copies(trial, row, folder / "rows"))
    except Done:
        held = peak()
        return Tried(row, True, held, times[-1] - times[-2])
    except Exception as error:
        if not any(_starved(one) for one in _causes(error)):
            raise
        return Tried(row, fits=False)
    raise StepError("the training ended before its second step", where=trial.step)


def longest(trial: Trial, run: StepRun) -> Row:
    """The row with most tokens, of those the training would see."""
    from llmops_lightning.train import longest_row, prepare
    from llmops_lightning.weights import load_network, load_tokenizer

    config, length = replace(trial.config, validation_rows=0), longest_row(trial.config, trial.model, run)
    network = load_network(trial.model)
    examples = prepare(config, run, trial.data, length, (load_tokenizer(trial.model), network)).examples
    at = int(examples.lengths.argmax())
    tokens, wanted = int(examples.lengths[at]), int(examples.rows[at])
    with trial.data.path("train").open(encoding="utf-8") as lines:
        line = next(line for number, line in enumerate(lines, 1) if number == wanted)
    pack = max(length, config.pack_length or length) if config.batching == "packs" else tokens
    return Row(line, tokens, pack // tokens)


def _run(trial: Trial, folder: Path) -> StepRun:
    from llmops_core.plugins import load
    from llmops_core.worker import Worker

    for name in ("files", "scratch"):
        (folder / name).mkdir()
    return StepRun(
        folder=folder / "files",
        scratch=folder / "scratch",
        cache=trial.state / "downloads",
        state=trial.state,
        step=trial.step,
        seed=trial.seed,
        loader=Worker(load()).load_part,
    )


def _config(config: LightningTrain) -> LightningTrain:
    """The same training, of which nothing is validated or kept."""
    return replace(
        config,
        epochs=STEPS,
        max_steps=STEPS,
        max_rows=None,
        validation_rows=0,
        validate_every=None,
        patience=None,
        keep="last",
        checkpoint_every=STEPS + 1,
        checkpoint_minutes=None,
        processes=1,
    )


def _copies(trial: Trial, row: Row, folder: Path) -> Dataset:
    """As many rows as one optimizer step sees."""
    folder.mkdir()
    count = trial.config.batch_size * trial.config.accumulate * row.many
    (folder / "train.jsonl").write_text((row.line.rstrip("\n") + "\n") * count, encoding="utf-8")
    return Dataset(folder=folder, rows={"train": count}, shape=trial.data.shape)


def _bound(limit: float, device: str) -> None:
    """Let this process hold no more than that: private memory, which holds for those it starts too, or its
    part of the accelerator's."""
    if device == "gpu":
        import torch

        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit / whole))
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit), most))


def _starved(error: BaseException) -> bool:
    from llmops_lightning.memory import is_out_of_memory

    return (
        is_out_of_memory(error)
        or STARVED in str(error)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
