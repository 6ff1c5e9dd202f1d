"""What stands around a running step: errors told as ours, a time limit, and a log without secrets."""

from __future__ import annotations

import dataclasses
import errno
import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.config import Step
from llmops_core.errors import LlmopsError, StepError, StoreError, TimeLimitError
from llmops_core.secrets import Secrets

LONGEST = 300
"""Characters of a foreign error's message that are shown; the whole of it is in its traceback."""
AGAIN = 30.0
"""Seconds after which a step that swallowed the end of its time is stopped once more."""


@contextmanager
def told_as_error(step: str, folder: Path, secrets: Secrets) -> Iterator[None]:
    """Turn whatever a step raises into an error of ours; the traceback goes to the run's folder.

    Ctrl-C passes through. Secrets are taken out of what is raised.
    """
    try:
        yield
    except LlmopsError as error:
        _redact(error, secrets)
        raise
    except KeyboardInterrupt:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            place = secrets.redact(str(error.filename or "the disk"))
            raise StoreError(
                f"no space left on {place}", where=step, remedy="Free space, or run: llmops store gc"
            ) from error
        raise _unexpected(step, folder, error, secrets) from error
    except BaseException as error:  # SystemExit too: a library that gives up must not end the run in silence
        raise _unexpected(step, folder, error, secrets) from error


def _redact(error: LlmopsError, secrets: Secrets) -> None:
    problem = getattr(error, "problem", None)
    if problem is None or not secrets.seen:
        return
    error.problem = dataclasses.replace(
        problem, **{name: secrets.redact(value) for name, value in vars(problem).items()}
    )
    error.args = (str(error.problem),)


def _unexpected(step: str, folder: Path, error: BaseException, secrets: Secrets) -> StepError:
    place = folder / f"{step}.traceback.txt"
    remedy = f"The whole traceback is in {place}"
    try:
        place.write_text(secrets.redact("".join(traceback.format_exception(error))), encoding="utf-8")
    except OSError as failed:
        remedy = f"Its traceback could not be kept: {failed.strerror}. Use --debug to see it."
    if isinstance(error, MemoryError):
        return StepError("out of memory", where=step, remedy=f"Use less, or a larger machine. {remedy}")
    what = type(error).__name__
    if isinstance(error, SystemExit):
        what = "it tried to end the whole process (SystemExit)"
    lines = str(error).strip().splitlines()
    if lines:
        first = secrets.redact(lines[0])
        what += f": {first if len(first) <= LONGEST else first[:LONGEST] + ' ...'}"
    return StepError(what, where=step, remedy=remedy)


@contextmanager
def time_limit(step: Step, tell: Callable[[events.Event], None]) -> Iterator[None]:
    """Raise TimeLimitError in the block once the step's limit is over.

    A block that swallows it, or turns it into another error, still ends with it.
    """
    limit = step.settings.time_limit
    if limit is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        tell(events.Log(step.name, "its time limit is not kept outside the main thread", "warning"))
        yield
        return
    fired = False

    def over(number: int, frame: Any) -> None:
        nonlocal fired
        fired = True
        raise _late(step)

    before, began = signal.signal(signal.SIGALRM, over), time.monotonic()
    outer, interval = signal.setitimer(signal.ITIMER_REAL, limit, AGAIN)
    try:
        yield
    except TimeLimitError:
        raise
    except Exception as other:
        if fired:
            raise _late(step) from other
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:  # somebody else's timer goes on
            left = outer - (time.monotonic() - began)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), interval)
    if fired:
        raise _late(step)


def _late(step: Step) -> TimeLimitError:
    what = f"ran longer than its limit of {step.settings.time_limit:g} s"
    return TimeLimitError(what, where=step.name, remedy=f"Raise {step.name}.time_limit.")


@contextmanager
def log_file(path: Path, secrets: Secrets) -> Iterator[None]:
    """Keep what libraries log in the run's folder, with secrets taken out."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True, errors="backslashreplace")
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
