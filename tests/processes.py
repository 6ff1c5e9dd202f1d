"""Runs work in a process of its own that may be killed at any moment, without starting Python anew."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.utime"}


def start(work: Callable[[], object]) -> int:
    """Begin `work` in a child process; gives its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        work()
        status = 0
    finally:
        os._exit(status)


def wait(process: int) -> int:
    """The child's exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_after(process: int, seconds: float) -> int:
    """Kill a child after a while; gives how it ended."""
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    return wait(process)


def die_at(number: int, folder: Path) -> None:
    """Let this process die just before its `number`-th change of a file below `folder`."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if (writes or event in CHANGES) and str(arguments[0]).startswith(str(folder)):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
