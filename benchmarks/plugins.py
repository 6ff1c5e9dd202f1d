"""What twenty more plugins cost: CPU seconds of `llmops --help` and `llmops check`, with and without them.

    python -m benchmarks.plugins [--plugins 20] [--tries 7]

Prints a table and writes nothing. The plugins are the smallest that `llmops plugin new` writes, with one
command each, on the path in a temporary folder; an empty folder stands in for it without them. CPU is user
and system time of the whole process, the least of some tries, turn by turn with and without, so that a busy
machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from llmops_core.plugin_new import write_plugin
from llmops_core.plugins import load
from llmops_core.stages import STAGES

BUDGET = 20.0
"""Milliseconds."""
COMMANDS = (["--help"], ["check", "quickstart"])


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--plugins", type=int, default=20)
    options.add_argument("--tries", type=int, default=7)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site, empty, away = (Path(folder, name) for name in ("site", "empty", "away"))
        for place in (site, empty, away):
            place.mkdir()
        install(site, given.plugins)
        print(f"{'command':<24} {'without':>10} {f'{given.plugins} more':>10} {'added':>10}")
        for words in COMMANDS:
            bare, more = measure(words, (empty, site), away, given.tries)
            name = f"llmops {' '.join(words)}"
            print(f"{name:<24} {bare:>7.0f} ms {more:>7.0f} ms {more - bare:>7.1f} ms")
        print(f"budget: {BUDGET:.0f} ms added by 20")


def install(site: Path, count: int) -> None:
    """Put `count` distributions into a folder, as pip would: packages and their dist-info."""
    plugins, groups = load(), [stage.name for stage in STAGES]
    for number in range(count):
        name = f"bench-plugin-{number}"
        package = name.replace("-", "_")
        written = write_plugin(name, groups[number % len(groups)], site / "sources", plugins)
        (written / package).rename(site / package)
        info = site / f"{package}-0.1.0.dist-info"
        info.mkdir()
        points = (
            f"[llmops]\n{package} = {package}.plugin\n\n[llmops.commands]\n{name} = {package}.plugin:none\n"
        )
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 0.1.0\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "compileall", "-q", site], check=True)


def measure(words: list[str], sites: tuple[Path, Path], away: Path, tries: int) -> tuple[float, float]:
    """Milliseconds of CPU without and with the plugins: the least of some tries each."""
    for site in sites:
        cpu(words, site, away)
    pairs = [(cpu(words, sites[0], away), cpu(words, sites[1], away)) for _ in range(tries)]
    return min(bare for bare, _ in pairs), min(more for _, more in pairs)


def cpu(words: list[str], site: Path, away: Path) -> float:
    """Milliseconds of CPU that a command takes, user and system."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LLMOPS"))}
    environment = kept | {"PYTHONPATH": str(site)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from llmops_core.cli import main; main()", *words]
    subprocess.run(command, cwd=away, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


if __name__ == "__main__":
    main()
