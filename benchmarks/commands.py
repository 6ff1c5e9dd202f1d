"""CPU seconds of the commands against their budgets: python -m benchmarks.commands [--peers]

With --peers, kedro, dvc and metaflow are installed into an environment of their own and their --help is
measured in turn with ours.
"""

from __future__ import annotations

import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Measured, as_json, cpu_seconds, keep, median_of, table

LLMOPS = str(Path(sys.executable).with_name("llmops"))
ROOT = Path(__file__).resolve().parent.parent
TIMES = 9
PEERS = ("kedro", "dvc", "metaflow")
TEN_STEPS = """\
defaults:
  - base
  - data: fake
  - data@second: fake
  - data@third: fake
  - data@fourth: fake
  - data@fifth: fake
  - model: fake
  - train: fake
  - train@again: fake
  - evaluate: fake
  - release: fake
  - _self_
second: {rows: 5}
third: {rows: 6}
fourth: {rows: 7}
fifth: {rows: 8}
"""


def with_fake_plugin(folder: Path) -> dict[str, str]:
    """An installed plugin whose steps do next to nothing; gives the environment that finds it."""
    info = folder / "site" / "fake-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llmops]\nfake = tests.fake_plugin\n")
    return {"PYTHONPATH": f"{folder / 'site'}:{ROOT}"}


def measure(what: str, words: Sequence[str], folder: Path, **options: object) -> Measured:
    """The median of several runs of `llmops WORDS`."""
    environment = dict(options.get("environment") or {})  # type: ignore[call-overload]
    samples = [cpu_seconds([LLMOPS, *words], folder, environment) for _ in range(TIMES)]
    return median_of(what, samples, options.get("budget"))  # type: ignore[arg-type]


def completion(folder: Path) -> Measured:
    """What the shell asks for when a person presses Tab behind `llmops run quickstart tr`."""
    asked = {"_LLMOPS_COMPLETE": "bash_complete", "COMP_WORDS": "llmops run quickstart tr", "COMP_CWORD": "3"}
    return measure("shell completion", [], folder, environment=asked, budget=0.15)


def ten_steps(folder: Path) -> list[Measured]:
    """A recipe of ten steps that do nothing: its first run, and one with nothing changed."""
    environment = with_fake_plugin(folder)
    (folder / "ten.yaml").write_text(TEN_STEPS)
    first = []
    for number in range(3):
        words = [LLMOPS, "run", "./ten.yaml", f"store=store{number}"]
        first.append(cpu_seconds(words, folder, environment))
    again = measure(
        "second run of ten steps, nothing changed",
        ["run", "./ten.yaml", "store=store0"],
        folder,
        environment=environment,
        budget=1.0,
    )
    step = (sorted(first)[1] - again.cpu_seconds) / 10
    overhead = Measured("one in-process step (first run less second, by ten)", round(step, 4), 0, 0, 3, 0.010)
    return [median_of("first run of ten steps that do nothing", first), again, overhead]


def peers(folder: Path) -> list[Measured]:
    """--help of the peers and ours, in turn."""
    place = folder / "peers"
    venv.create(place, with_pip=True)
    cpu_seconds([str(place / "bin" / "pip"), "install", "--quiet", *PEERS], folder)
    commands = {"llmops": LLMOPS, **{name: str(place / "bin" / name) for name in PEERS}}
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(TIMES):
        for name, command in commands.items():
            samples[name].append(cpu_seconds([command, "--help"], folder))
    return [median_of(f"{name} --help, side by side", found) for name, found in samples.items()]


def main() -> None:
    """Measure, print, keep."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            measure("llmops --help", ["--help"], folder, budget=0.15),
            completion(folder),
            measure("llmops check quickstart", ["check", "quickstart"], folder, budget=0.6),
            measure("llmops plan quickstart", ["plan", "quickstart"], folder, budget=1.0),
            *ten_steps(folder),
        ]
        if "--peers" in sys.argv:
            rows += peers(folder)
    print(table(rows))
    print(keep("commands", {"results": as_json(rows)}))


if __name__ == "__main__":
    main()
