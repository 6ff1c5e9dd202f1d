"""CPU seconds of whole commands, and where results are kept."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmops_core.manifest import machine

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Measured:
    """The median and the spread of several runs."""

    what: str
    cpu_seconds: float
    lowest: float
    highest: float
    runs: int
    budget: float | None = None


def cpu_seconds(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> float:
    """User and system seconds of a command and its children. Raises CalledProcessError when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def median_of(what: str, samples: Sequence[float], budget: float | None = None) -> Measured:
    """Several samples as one line."""
    middle = statistics.median(samples)
    return Measured(
        what, round(middle, 4), round(min(samples), 4), round(max(samples), 4), len(samples), budget
    )


def keep(name: str, found: Mapping[str, Any]) -> Path:
    """Write results with the machine and the day to benchmarks/results/NAME.json."""
    document = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine(), **found}
    document["load"] = [round(one, 2) for one in os.getloadavg()]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def table(rows: Sequence[Measured]) -> str:
    """The results as lines."""
    lines = []
    for row in rows:
        budget = f"   budget {row.budget:g}" if row.budget is not None else ""
        lines.append(f"{row.what:<60} {row.cpu_seconds:8.3f} s ({row.lowest:.3f}-{row.highest:.3f}){budget}")
    return "\n".join(lines)


def as_json(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """The results as JSON."""
    return [asdict(row) for row in rows]


def wall_seconds(command: Sequence[str], folder: Path) -> float:
    """Seconds a command takes. Raises CalledProcessError when it fails."""
    began = time.monotonic()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return time.monotonic() - began
