"""The data stage: near-duplicates against their peers, and the whole pipeline at growing sizes.

    python -m benchmarks.data [--peers] [--rows 10000,100000,1000000] [--model FOLDER]

With --peers datasketch must be installed. --model names an embedding model (all-MiniLM-L6-v2) for the step
`semantic`. Each size runs in a process of its own, so that its peak memory
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
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measuring import keep

os.environ.setdefault("RAYON_NUM_THREADS", "1")
TARGET = 20_000
DOCUMENTS, WORDS, CHECKED, RUNS, EMBEDDED = 10_000, 400, 600, 5, 64
THRESHOLD = 0.8
TWO_WORKERS = 100_000
"""Rows of the pipeline that is run in two processes."""
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
    """User and system seconds of this process and of those it started that have ended."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


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

    config = Near(threshold=THRESHOLD)
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


def graded(count: int, seed: int) -> list[str]:
    """Texts of which two thirds are variants, of 0 to 60 words changed: their similarities lie around 0.8."""
    chance = random.Random(seed)
    made = documents(count // 3, seed)
    vocabulary = " ".join(made).split()
    for text in list(made):
        for _ in range(2):
            words = text.split()
            for place in chance.sample(range(WORDS), chance.randint(0, 60)):
                words[place] = chance.choice(vocabulary)
            made.append(" ".join(words))
    chance.shuffle(made)
    return made


def exactly(texts: Sequence[str]) -> dict[tuple[int, int], float]:
    """The similarity of every pair, by comparing all with all."""
    cut = [frozenset(text[at : at + 5] for at in range(len(text) - 4)) for text in texts]
    found = {}
    for second, one in enumerate(cut):
        for first in range(second):
            shared = len(one & cut[first])
            found[first, second] = shared / (len(one) + len(cut[first]) - shared)
    return found


def groups(count: int, linked: Iterable[tuple[int, int]]) -> list[frozenset[int]]:
    """Each text's group: all that pairs lead to from it."""
    found = [{place} for place in range(count)]
    for first, second in linked:
        whole = found[first] | found[second]
        for place in whole:
            found[place] = whole
    return list(map(frozenset, found))


def checked(seeds: Iterable[int]) -> dict[str, Any]:
    """Our pairs and groups against those of every pair's true similarity."""
    pairs = edge = wanted = both = right_ones = given = texts = alike = 0
    for seed in seeds:
        sample = graded(CHECKED, seed)
        similar = exactly(sample)
        true = {pair for pair, one in similar.items() if one >= THRESHOLD}
        found = ours(sample)
        grouped, right = groups(len(sample), found), groups(len(sample), true)
        # of copies only the first is compared with others, and each copy is paired with it
        first = [sample.index(text) for text in sample]
        due = {(a, b) for a, b in true if first[a] == a and first[b] in (a, b)}
        pairs += len(similar)
        edge += sum(abs(one - THRESHOLD) < 0.05 for one in similar.values())
        wanted, both, given = wanted + len(due), both + len(due & found), given + len(found)
        right_ones += len(true & found)
        texts += len(sample)
        alike += sum(one == other for one, other in zip(grouped, right, strict=True))
    return {
        "texts": texts,
        "pairs_compared": pairs,
        "pairs_within_0.05_of_the_threshold": edge,
        "true_pairs": wanted,
        "recall": both / wanted,
        "precision": right_ones / given,
        "texts_in_the_right_group": alike / texts,
    }


def near_duplicates(peers: bool) -> dict[str, Any]:
    """Rates, and our pairs and groups on checked samples."""
    rate(documents(100), ours)  # which imports
    rates = sorted(rate(documents(DOCUMENTS, seed), ours)[0] for seed in range(RUNS))
    result = {
        "documents": DOCUMENTS,
        "words": WORDS,
        "ours_per_cpu_second": round(rates[RUNS // 2]),
        "spread": [round(rates[0]), round(rates[-1])],
        "target": TARGET,
        "checked": checked(range(10, 13)),
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


def pipeline(source: str, workers: int) -> None:
    """Read, clean, deduplicate, redact, split and write one file; prints what it took."""
    from llmops_core.settings import Part
    from llmops_core.step import StepRun
    from llmops_data import config as configs
    from llmops_data.dialogues import dialogues
    from llmops_privacy.config import PersonalData

    folder = Path(source).parent
    steps = {
        "normalise": Part("data/step", "normalise", configs.Normalise()),
        "exact": Part("data/step", "exact", configs.Exact()),
        "near": Part("data/step", "near", configs.Near(threshold=0.8)),
        "redact": Part("data/step", "personal_data", PersonalData()),
        "length": Part("data/step", "length", configs.Length(min_characters=100)),
    }
    (folder / "out").mkdir()

    def load(part: Part) -> Any:
        from importlib import import_module

        module = "parallel" if part.group == "data/engine" else part.use
        package = "llmops_privacy" if part.use == "personal_data" else "llmops_data"
        return getattr(import_module(f"{package}.{module}"), part.use)

    run = StepRun(
        folder=folder / "out", scratch=folder / "scratch", cache=folder / "cache", state=folder, loader=load
    )
    before = peak_mb()
    began, used = time.perf_counter(), cpu()
    made = dialogues(configs.DialogueData(source=source, steps=steps, workers=workers), run)
    result = {
        "rows": made.funnel[0]["rows"],
        "left": sum(made.rows.values()),
        "workers": workers,
        "cpu_seconds": round(cpu() - used, 2),
        "wall_seconds": round(time.perf_counter() - began, 2),
        "imports_mb": before,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(result))


def semantic(model: str) -> dict[str, Any]:
    """Rows a CPU second, from texts to groups, by the length of the texts; one thread."""
    import torch

    from llmops_data.config import Semantic
    from llmops_data.embedding import Embedder
    from llmops_data.semantic import pairs
    from llmops_data.vectors import Rows

    torch.set_num_threads(1)
    config = Semantic(model=f"file:{model}")
    embed = Embedder(Path(model), config.max_tokens, config.batch)
    words = (Path(model) / "vocab.txt").read_text("utf-8").split()[2000:12000]
    chance = random.Random(6)

    def find(texts: Sequence[str]) -> int:
        with tempfile.TemporaryDirectory() as folder, Rows(Path(folder), embed.width) as vectors:
            vectors.add(embed(texts))
            return len(list(pairs(vectors, config)))

    result: dict[str, Any] = {"model": "all-MiniLM-L6-v2", "rows": EMBEDDED}
    for length in (10, 50, 200):
        texts = [" ".join(chance.choices(words, k=length)) for _ in range(EMBEDDED)]
        rates = sorted(rate(texts, find)[0] for _ in range(3))
        result[f"rows_of_{length}_words_per_cpu_second"] = round(rates[1], 1)
    return result


def at_size(count: int, workers: int = 1) -> dict[str, Any]:
    """One size in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, count)
        words = [sys.executable, "-m", "benchmarks.data", "--pipeline", str(workers), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return {**found, "file_mb": path.stat().st_size >> 20}


def main() -> None:
    """Measure, print, keep."""
    if "--pipeline" in sys.argv:
        pipeline(sys.argv[-1], int(sys.argv[-2]))
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
    two = at_size(TWO_WORKERS, workers=2)
    print(json.dumps(two))
    found = {"near_duplicates": near, "pipeline": sizes, "growth": growth, "two_workers": two}
    if "--model" in sys.argv:
        found["semantic"] = semantic(sys.argv[sys.argv.index("--model") + 1])
        print(json.dumps(found["semantic"]))
    print(keep("data", found))


if __name__ == "__main__":
    main()
