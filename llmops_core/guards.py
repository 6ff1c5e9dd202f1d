"""What stands around a running step: errors told as ours, a time limit, and a log without secrets."""

from __future__ import annotations

import errno
import logging
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.config import Step
from llmops_core.errors import LlmopsError, StepError, StoreError, TimeLimitError
from llmops_core.secrets import Secrets


@contextmanager
def told_as_error(step: str, folder: Path, secrets: Secrets) -> Iterator[None]:
    """Turn whatever a step raises into an error of ours; the traceback goes to the run's folder."""
    try:
        yield
    except LlmopsError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            place = error.filename or "the store's disk"
            raise StoreError(
                f"no space left on {place}", where=step, remedy="Free space, or run: llmops store gc"
            ) from error
        raise _unexpected(step, folder, error, secrets) from error
    except Exception as error:
        raise _unexpected(step, folder, error, secrets) from error


def _unexpected(step: str, folder: Path, error: Exception, secrets: Secrets) -> StepError:
    place = folder / f"{step}.traceback.txt"
    place.write_text(secrets.redact("".join(traceback.format_exception(error))), encoding="utf-8")
    if isinstance(error, MemoryError):
        return StepError("out of memory", where=step, remedy="Use smaller batches, or a larger machine.")
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return StepError(secrets.redact(what), where=step, remedy=f"The whole traceback is in {place}")


@contextmanager
def time_limit(step: Step, tell: Callable[[events.Event], None]) -> Iterator[None]:
    """Raise TimeLimitError in the block once the step's limit is over."""
    limit = step.settings.time_limit
    if limit is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        tell(events.Log(step.name, "its time limit is not kept outside the main thread", "warning"))
        yield
        return

    def over(number: int, frame: Any) -> None:
        raise TimeLimitError(
            f"ran longer than its limit of {limit:g} s",
            where=step.name,
            remedy=f"Raise {step.name}.time_limit.",
        )

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def log_file(path: Path, secrets: Secrets) -> Iterator[None]:
    """Keep what libraries log in the run's folder, with secrets taken out."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(_RedactingFormatter(secrets))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


class _RedactingFormatter(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return str(self.secrets.redact(super().format(record)))
