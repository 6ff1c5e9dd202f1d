"""What one model does on the rows: the likelihood of the references, and answers of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_eval import workers
from llmops_eval.batches import by_length
from llmops_eval.config import AnswersEvaluate
from llmops_eval.encoding import Encoded
from llmops_eval.language_model import LanguageModel
from llmops_eval.metric import Likelihood

READ_AT_ONCE = 512
"""Tokens: on a processor core, more in one batch only fall out of its caches."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of each model: likelihoods of all rows or none, generations of the rows listed."""

    likelihoods: bool
    generations: Sequence[int]

    def work(self, rows: int) -> int:
        """How much there is to do for one model, in rows read or answered."""
        return (rows if self.likelihoods else 0) + len(self.generations)


@dataclass(frozen=True)
class Subject:
    """The rows as one model's tokens."""

    tokenizer: Any
    rows: Sequence[Encoded]


@dataclass
class Measured:
    """What one model did, by row; filled batch by batch."""

    likelihoods: dict[int, Likelihood] = field(default_factory=dict)
    generations: dict[int, str] = field(default_factory=dict)
    threads: int = 0
    """How many batches were worked on at once."""

    def lists(self, rows: int) -> Mapping[str, Sequence[Any]]:
        """What is there for all rows, a member a row, by the name that a metric asks for it with."""
        whole: dict[str, Sequence[Any]] = {}
        if len(self.likelihoods) == rows:
            whole["likelihoods"] = [self.likelihoods[place] for place in range(rows)]
        if len(self.generations) == rows:
            whole["generations"] = [self.generations[place] for place in range(rows)]
        return whole


def measure(
    module: Any,
    subject: Subject,
    wanted: Wanted,
    config: AnswersEvaluate,
    progress: Callable[[float], None],
) -> Measured:
    """Runs one model over the rows. `progress` is told how many rows were read or answered so far."""
    stop = threading.Event()
    with workers.one_thread_a_batch():
        model = LanguageModel(module, subject.rows, _ends(module, subject), stop)
        task = Task(model, subject, config)
        jobs = task.jobs(wanted)
        task.found.threads = task.threads(len(jobs))
        workers.work_off(jobs, task.found.threads, stop, lambda: progress(task.tally.done))
    return task.found


def _ends(module: Any, subject: Subject) -> set[int]:
    """The tokens that end an answer: the model's, the tokenizer's, and what the chat template writes."""
    listed = module.generation_config.eos_token_id
    ends = set(listed if isinstance(listed, list) else [listed])
    ends |= {subject.tokenizer.eos_token_id} | {row.answer[-1] for row in subject.rows}
    return {end for end in ends if end is not None}


@dataclass
class Task:
    """One model's work, cut into batches."""

    model: LanguageModel
    subject: Subject
    config: AnswersEvaluate
    found: Measured = field(default_factory=Measured)
    tally: workers.Tally = field(default_factory=workers.Tally)

    def jobs(self, wanted: Wanted) -> list[Callable[[], None]]:
        """A function a batch, the longest first."""
        rows, config = self.subject.rows, self.config
        on_cpu = self.model.device.type == "cpu"
        writing = by_length(
            wanted.generations,
            lambda place: len(rows[place].prompt) + config.max_new_tokens,
            max_tokens=config.batch_tokens,
            max_rows=config.batch_size,
        )
        reading = by_length(
            range(len(rows)) if wanted.likelihoods else (),
            lambda place: len(rows[place].before) + len(rows[place].answer),
            max_tokens=min(config.batch_tokens, READ_AT_ONCE) if on_cpu else config.batch_tokens,
        )
        return [self._write(batch) for batch in writing] + [self._read(batch) for batch in reading]

    def threads(self, jobs: int) -> int:
        """How many batches are worked on at once."""
        if self.model.device.type != "cpu":
            return 1
        asked = self.config.threads
        if asked is None and jobs > 1:
            asked = workers.measured(lambda: self.model.likelihoods(self.subject.rows[:2]))
        return max(1, min(asked or 1, jobs))

    def _write(self, batch: Sequence[int]) -> Callable[[], None]:
        def write() -> None:
            told = 0.0

            def advanced(share: float) -> None:
                nonlocal told
                self.tally.add((share - told) * len(batch))
                told = share

            rows = [self.subject.rows[place] for place in batch]
            written = self.model.generations(rows, self.config.max_new_tokens, advanced)
            advanced(1.0)
            for place, tokens in zip(batch, written, strict=True):
                text = self.subject.tokenizer.decode(tokens, skip_special_tokens=True)
                self.found.generations[place] = text.strip()

        return write

    def _read(self, batch: Sequence[int]) -> Callable[[], None]:
        def read() -> None:
            told = self.model.likelihoods([self.subject.rows[place] for place in batch])
            self.found.likelihoods.update(zip(batch, told, strict=True))
            self.tally.add(len(batch))

        return read
