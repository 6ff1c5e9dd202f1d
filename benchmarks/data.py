"""The data stage: near-duplicates against their peers, and the whole pipeline at growing sizes.

    python -m benchmarks.data [--peers] [--rows 10000,100000,1000000]

With --peers datasketch must be installed. Each size runs in a process of its own, so that its peak memory
is its own. Rates are per CPU second, so that a busy machine tells nearly the same.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measuring import keep

os.environ.setdefault("RAYON_NUM_THREADS", "1")
TARGET = 20_000
DOCUMENTS, WORDS, CHECKED = 10_000, 400, 1_500
VARIANTS = 0.2
"""The share of documents that are another one with up to 30 words changed."""


def documents(count: int, seed: int = 1) -> list[str]:
    """Texts of 400 random words of a vocabulary of 20,000; some are variants of an earlier one."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(20_000)]
    made: list[str] = []
    for _ in range(count):
        if made and chance.random() < VARIANTS:
            words = chance.choice(made).split()
            for place in chance.sample(range(WORDS), chance.randint(1, 30)):
                words[place] = chance.choice(vocabulary)
            made.append(" ".join(words))
        else:
            made.append(" ".join(chance.choices(vocabulary, k=WORDS)))
    return made


def cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> int:
    """The most memory this process has had. Not getrusage's: a child's begins with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def rate(texts: Sequence[str], find: Callable[[Sequence[str]], Any]) -> tuple[float, Any]:
    """Documents a CPU second, and what was found."""
    began = cpu()
    found = find(texts)
    return len(texts) / (cpu() - began), found


def ours(texts: Sequence[str]) -> set[tuple[int, int]]:
    """The pairs that our step finds."""
    from llmops_data.config import Near
    from llmops_data.near import Texts, pairs
    from llmops_data.rows import Message, Row

    config = Near(threshold=0.8)
    rows = [Row(str(number), (Message("text", text),)) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        return {(first, second) for first, second, _ in pairs(Texts(rows, config), config, Path(folder))}


def datasketch(texts: Sequence[str]) -> int:
    """The same shingles through datasketch's MinHash and LSH; gives how many have a candidate."""
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(threshold=0.8, num_perm=128), 0
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([text[at : at + 5].encode() for at in range(len(text) - 4)])
        found += bool(index.query(sketch))
        index.insert(str(number), sketch)
    return found


def exactly(texts: Sequence[str]) -> set[tuple[int, int]]:
    """The pairs that compare all with all finds."""
    cut = [frozenset(text[at : at + 5] for at in range(len(text) - 4)) for text in texts]
    found = set()
    for second, one in enumerate(cut):
        for first in range(second):
            shared = len(one & cut[first])
            if shared >= 0.8 * (len(one) + len(cut[first]) - shared):
                found.add((first, second))
    return found


def near_duplicates(peers: bool) -> dict[str, Any]:
    """Rates, and recall and precision of our pairs on a checked sample."""
    rates = sorted(rate(documents(DOCUMENTS, seed), ours)[0] for seed in range(3))
    sample = documents(CHECKED, 9)
    true, found = exactly(sample), ours(sample)
    result = {
        "documents": DOCUMENTS,
        "words": WORDS,
        "ours_per_cpu_second": round(rates[1]),
        "spread": [round(rates[0]), round(rates[-1])],
        "target": TARGET,
        "checked_pairs": len(true),
        "recall": len(true & found) / len(true),
        "precision": len(true & found) / len(found),
    }
    if peers:
        result["datasketch_per_cpu_second"] = round(rate(documents(500), datasketch)[0])
    return result


def write_rows(path: Path, count: int) -> None:
    """Conversations of about 100 words; a tenth is an earlier one, a tenth a variant, some are too short."""
    chance = random.Random(5)
    vocabulary = [
        "".join(chance.choices("abcdefghijklmnopqrst", k=chance.randint(2, 9))) for _ in range(20_000)
    ]
    recent: list[list[str]] = []
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            words = chance.choices(vocabulary, k=100)
            luck = chance.random()
            if recent and luck < 0.2:
                words = list(chance.choice(recent))
                if luck < 0.1:
                    words[chance.randrange(100)] = "other"
            recent = [*recent[-500:], words]
            said = {
                "prompt": " ".join(words[:30]) + "?",
                "completion": " ".join(words[30:]) if number % 50 else "x",
            }
            file.write(json.dumps(said) + "\n")


def pipeline(source: str) -> None:
    """Read, clean, deduplicate, split and write one file; prints what it took."""
    from llmops_core.settings import Part
    from llmops_core.step import StepRun
    from llmops_data import config as configs
    from llmops_data.dialogues import dialogues

    folder = Path(source).parent
    steps = {
        "normalise": Part("data/step", "normalise", configs.Normalise()),
        "exact": Part("data/step", "exact", configs.Exact()),
        "near": Part("data/step", "near", configs.Near(threshold=0.8)),
        "length": Part("data/step", "length", configs.Length(min_characters=100)),
    }
    (folder / "out").mkdir()

    def load(part: Part) -> Any:
        from importlib import import_module

        return getattr(import_module(f"llmops_data.{part.use}"), part.use)

    run = StepRun(
        folder=folder / "out", scratch=folder / "scratch", cache=folder / "cache", state=folder, loader=load
    )
    before = peak_mb()
    began, used = time.perf_counter(), cpu()
    made = dialogues(configs.DialogueData(source=source, steps=steps), run)
    result = {
        "rows": made.funnel[0]["rows"],
        "left": sum(made.rows.values()),
        "cpu_seconds": round(cpu() - used, 2),
        "wall_seconds": round(time.perf_counter() - began, 2),
        "imports_mb": before,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(result))


def at_size(count: int) -> dict[str, Any]:
    """One size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, count)
        words = [sys.executable, "-m", "benchmarks.data", "--pipeline", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return {**found, "file_mb": path.stat().st_size >> 20}


def main() -> None:
    """Measure, print, keep."""
    if "--pipeline" in sys.argv:
        pipeline(sys.argv[-1])
        return
    said = sys.argv[sys.argv.index("--rows") + 1] if "--rows" in sys.argv else "10000,100000"
    near = near_duplicates("--peers" in sys.argv)
    print(json.dumps(near, indent=1))
    sizes = []
    for count in said.split(","):
        sizes.append(at_size(int(count)))
        print(json.dumps(sizes[-1]))
    growth = [
        {
            "rows": later["rows"] / earlier["rows"],
            "time": round(later["cpu_seconds"] / earlier["cpu_seconds"], 2),
            "memory": round(later["peak_mb"] / earlier["peak_mb"], 2),
        }
        for earlier, later in pairwise(sizes)
    ]
    print(json.dumps(growth))
    print(keep("data", {"near_duplicates": near, "pipeline": sizes, "growth": growth}))


if __name__ == "__main__":
    main()
