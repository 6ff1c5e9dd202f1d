"""Steps that look at one row at a time: in one process, in two, and on a Ray cluster of two CPUs.

    python -m benchmarks.data_ray [--rows 20000]

All on this machine, each time in a process of its own. CPU seconds are those of all processes together, with
the start of processes and of Ray; so are the seconds. The rows that come out have to be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measuring import keep

ROWS, RUNS = 20_000, 3
ARMS = ("one process", "two processes", "ray")
STEPS = ("normalise", "language", "quality")


def stored(folder: Path, count: int) -> Any:
    """Texts of 60 to 100 words on disk."""
    from llmops_data.pipeline import Passed
    from llmops_data.rows import Message, Row
    from llmops_data.stored import RowsWriter, StoredRows

    chance = random.Random(1)
    words = [f"{chance.choice('bcdfgklmnprst')}{chance.choice('aeiou')}{n}e" for n in range(20_000)]
    with RowsWriter(folder / "rows.arrow") as writer:
        for number in range(count):
            said = ["the", "of", "and", *chance.choices(words, k=chance.randint(57, 97))]
            writer.add(Row(str(number), (Message("text", " ".join(said)),)))
    return Passed("read", StoredRows(folder / "rows.arrow"), "0" * 64)


def processes() -> dict[int, tuple[int, float]]:
    """Of each process its parent and its CPU seconds, with those of its children that it waited for."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = sum(map(int, fields[11:15]))
        found[int(place.parent.name)] = (int(fields[1]), ticks / os.sysconf("SC_CLK_TCK"))
    return found


def cpu() -> tuple[float, float]:
    """The CPU seconds of this process alone, and of all that come from it."""
    every = processes()
    ours, wanted = 0.0, {os.getpid()}
    while wanted:
        ours += sum(every[one][1] for one in wanted)
        wanted = {child for child, (parent, _) in every.items() if parent in wanted}
    return time.process_time(), ours


def measured(arm: str, count: int) -> dict[str, Any]:
    """One run, in this process."""
    from llmops_core.settings import Part
    from llmops_core.step import StepRun
    from llmops_data import config
    from llmops_data.cluster import ray_cluster
    from llmops_data.parallel import local
    from llmops_data.pipeline import pass_through

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = StepRun(
            folder=folder,
            scratch=folder,
            cache=folder,
            state=folder,
            loader=lambda part: getattr(import_module(f"llmops_data.{part.use}"), part.use),
        )
        read = stored(folder, count)
        steps = {name: Part("data/step", name, getattr(config, name.capitalize())()) for name in STEPS}
        began, (here, every) = time.perf_counter(), cpu()
        chosen = ray_cluster(config.Ray(tasks=2), run, 1) if arm == "ray" else None
        with chosen or local(config.Local(), run, 1 + (arm == "two processes")) as engine:
            *_, last = pass_through(steps, run, read, engine)
            used = cpu()
            seconds = time.perf_counter() - began
        rows = hashlib.sha256("".join(row.fingerprint for row in last.rows).encode()).hexdigest()
    return {
        "seconds": seconds,
        "cpu_seconds": used[1] - every,
        "of_the_driver": used[0] - here,
        "left": len(last.rows),
        "rows": rows,
    }


def main() -> None:
    """Measure each arm in turn, so that what else the machine does falls on all; keep medians."""
    count = int(sys.argv[sys.argv.index("--rows") + 1]) if "--rows" in sys.argv else ROWS
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for _ in range(RUNS):
        for arm in ARMS:
            command = [sys.executable, "-m", "benchmarks.data_ray", "--one", arm, "--rows", str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[arm].append(json.loads(done.stdout))
            print(arm, found[arm][-1], flush=True)
    if len({one["rows"] for arm in found.values() for one in arm}) != 1:
        raise SystemExit("the arms gave other rows")
    arms = {}
    for arm, runs in found.items():
        medians = {
            name: statistics.median(one[name] for one in runs)
            for name in ("seconds", "cpu_seconds", "of_the_driver")
        }
        arms[arm] = {name: round(value, 2) for name, value in medians.items()}
        arms[arm]["rows_per_second"] = round(count / medians["seconds"])
        arms[arm]["rows_per_cpu_second"] = round(count / medians["cpu_seconds"])
    print(keep("data_ray", {"rows": count, "runs": RUNS, "steps": STEPS, "same_rows": True, "arms": arms}))


if __name__ == "__main__":
    if "--one" in sys.argv:
        print(json.dumps(measured(sys.argv[sys.argv.index("--one") + 1], int(sys.argv[-1]))))
    else:
        main()
