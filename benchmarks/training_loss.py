"""The loss of a large vocabulary: all scores at once, or in chunks of several sizes.

    python -m benchmarks.training_loss [--rows 256,512,1024] [--words 49152]

Forward and backward over the head alone, of a model 576 wide, on one thread. Each choice runs in a process of
its own, so that its peak memory is its own: what it came to hold beyond what was held before. `again` chunks
too, and computes the scores a second time for the gradients (torch.utils.checkpoint).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
WIDTH, RUNS = 576, 3
CHUNKS = (64, 128, 256, 512)


def main() -> None:
    """Measure every choice, and keep the results."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--rows", default="256,512,1024")
    asked.add_argument("--words", type=int, default=49_152)
    asked.add_argument("--one", default="")
    said = asked.parse_args()
    if said.one:
        print(json.dumps(measure(**json.loads(said.one))))
        return
    from benchmarks.measuring import keep

    found = []
    for rows in map(int, said.rows.split(",")):
        for learns in (False, True):
            for choice, chunk in [("whole", 0), ("again", 256), *(("chunks", size) for size in CHUNKS)]:
                if chunk < rows:
                    one = {
                        "choice": choice,
                        "chunk": chunk,
                        "rows": rows,
                        "words": said.words,
                        "learns": learns,
                    }
                    command = [sys.executable, "-m", "benchmarks.training_loss", "--one", json.dumps(one)]
                    found.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
                    print(found[-1], flush=True)
    print(keep("training_loss", {"width": WIDTH, "runs": RUNS, "losses": found}))


def measure(choice: str, chunk: int, rows: int, words: int, learns: bool) -> dict[str, Any]:
    """CPU seconds and megabytes of one choice."""
    import torch

    from llmops_core.memory import PeakMemory
    from llmops_lightning import cross_entropy

    torch.manual_seed(0)
    head = torch.nn.Linear(WIDTH, words, bias=False).requires_grad_(learns)
    targets = torch.randint(0, words, (rows,))
    cross_entropy.CHUNK, cross_entropy.WHOLE = chunk * words, 0 if choice == "chunks" else sys.maxsize

    def once() -> float:
        hidden = torch.randn(rows, WIDTH, requires_grad=True)
        head.zero_grad()
        before = cpu()
        if choice == "again":
            pairs = zip(hidden.split(chunk), targets.split(chunk), strict=True)
            again = torch.utils.checkpoint.checkpoint
            parts = [again(cross_entropy.summed, head, *pair, use_reentrant=False) for pair in pairs]
            torch.stack(parts).sum().backward()
        else:
            cross_entropy.summed(head, hidden, targets).backward()
        return cpu() - before

    held = resident_mb()
    peak = PeakMemory()
    seconds = [once() for _ in range(RUNS + 1)][1:]
    facts = {"choice": choice, "chunk": chunk, "rows": rows, "words": words, "head_learns": learns}
    return {
        **facts,
        "cpu_seconds": round(statistics.median(seconds), 4),
        "lowest": round(min(seconds), 4),
        "highest": round(max(seconds), 4),
        "peak_mb": round(peak.peak() / 1e6 - held),
    }


def resident_mb() -> float:
    """What this process holds now."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
