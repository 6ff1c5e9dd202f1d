"""Telling whether a process on this machine is still the one that was meant."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

_PROC = Path("/proc")


def process_mark(process: int) -> str:
    """What tells process number `process` from a later one with that number: machine, boot, start time.

    Empty for 0 and for a process that is not there.
    """
    started = _started(process) if process else ""
    return f"{platform.node()} {_boot()} {started}" if started else ""


def is_gone(process: int, mark: str) -> bool:
    """Whether the process that had `mark` has ended, as far as can be known from here.

    Never true for a process of another machine, which cannot be seen. A mark that was empty from the start
    was of a process that had ended before it could be marked.
    """
    if mark and mark.split(" ")[0] != platform.node():
        return False
    return not mark or process_mark(process) != mark


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"  # without /proc the start time below is a date, which no reboot repeats


def _started(process: int) -> str:
    """When it started, in a form that is stable while it runs; empty when it has ended."""
    if not (_PROC / "self/stat").exists():
        return _started_by_ps(process)
    try:
        stat = (_PROC / str(process) / "stat").read_text()
    except OSError:
        return ""
    # The second field is the command's name in brackets, and may itself hold spaces and brackets.
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _started_by_ps(process: int) -> str:
    command = ["ps", "-o", "state=,lstart=", "-p", str(process)]
    told = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    state, _, started = told.stdout.strip().partition(" ")
    return "" if not state or state.startswith("Z") else started.strip()
