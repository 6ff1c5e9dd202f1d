"""What of this machine a training may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CONTROL = Path("/sys/fs/cgroup")
MEMBER = Path("/proc/self/cgroup")
MEMORY = Path("/proc/meminfo")


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def whole_memory() -> int:
    """Bytes of memory that this machine has, or that a container on it may have."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(limit for limit, _ in _groups())])


def available_memory() -> int:
    """Bytes that may still be taken without anything being swapped out, by what the system says of itself."""
    try:
        told = dict(line.split(":", 1) for line in MEMORY.read_text(encoding="utf-8").splitlines())
        free = int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        free = whole_memory() // 2  # a system that does not say: half of it all
    return max(0, min([free, *(limit - used for limit, used in _groups())]))


def _groups() -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of each control group that this process is in and that has a limit."""
    try:
        lines = MEMBER.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = CONTROL / controllers
        own = root / path.lstrip("/")
        # inside a container the path may be the one outside it, and the group's files lie at the root
        inside = own if own.is_dir() else root
        for folder in (inside, *(parent for parent in inside.parents if parent.is_relative_to(root))):
            found = _group(folder, second=not controllers)
            if found is not None:
                yield found


def _group(folder: Path, *, second: bool) -> tuple[int, int] | None:
    """Limit and use of a group of the second or the first version; what is cached of files counts as free."""
    names = ("memory.max", "memory.current") if second else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    try:
        limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in names)
        pairs = (line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
        cached = {name: int(value) for name, value in pairs}
    except (OSError, ValueError):  # no such group, or its limit is the word "max"
        return None
    return limit, used - cached.get("inactive_file" if second else "total_inactive_file", 0)
