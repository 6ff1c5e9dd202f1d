"""Training beside a bare loop, TRL and LitGPT.

    python -m benchmarks.training --model FOLDER --data FOLDER [--trl PYTHON] [--litgpt PYTHON]

MODEL is a folder in the Hugging Face layout (SmolLM2-135M-Instruct, for LitGPT), DATA one with train.jsonl
and validation.jsonl of messages (what a quickstart leaves in .llmops/artifacts). With Pythons of environments
that have TRL and LitGPT, their own training loops are measured in turn with ours: same weights, same token
ids and labels, same adapters, eight rows an optimizer step. The arms called `planned` take the rows in the
order of our plan, so that each optimizer step has the very same loss tokens; the others sample as they do by
themselves. Every run is a process of its own on one thread; what is judged are CPU seconds from the first
step to the last, so that a busy machine tells nearly the same. Held-out loss is scored by plain transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.measuring import keep

SETTINGS = {
    "rows": None,
    "max_length": 256,
    "lr": 2e-3,
    "batch_size": 4,
    "accumulate": 2,
    "r": 8,
    "alpha": 16,
    "targets": ["q_proj", "k_proj", "v_proj", "o_proj"],
}
ROOT = Path(__file__).parent.parent
PEERS = {
    "trl": ("default", "best", "chunked", "planned"),
    "litgpt": ("default", "planned"),
}
"""The ways each peer is run; benchmarks/training_PEER.py says what they are."""


def printed(command: Sequence[str]) -> dict[str, Any]:
    """The JSON object that a command's last line is."""
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def arm(*words: str) -> dict[str, Any]:
    """One of our own arms, in a process of its own."""
    return printed([sys.executable, "-m", "benchmarks.training_arms", *words])


def task(model: Path, data: Path, rows: int, heldout: int) -> Path:
    """A folder with the first rows of the data and the settings that all arms share."""
    folder = Path(tempfile.mkdtemp(prefix="llmops-task-"))
    for split, count in (("train", rows), ("validation", heldout)):
        with (data / f"{split}.jsonl").open(encoding="utf-8") as lines:
            (folder / f"{split}.jsonl").write_text("".join(islice(lines, count)), encoding="utf-8")
    rest = {"model": str(model.resolve()), "data": str(folder / "rows"), "heldout": heldout}
    (folder / "rows").mkdir()
    for split in ("train", "validation"):
        shutil.move(folder / f"{split}.jsonl", folder / "rows" / f"{split}.jsonl")
    (folder / "task.json").write_text(json.dumps({**SETTINGS, **rest}), encoding="utf-8")
    return folder


def summed_up(runs: Sequence[Mapping[str, Any]], tokens: Mapping[str, int]) -> dict[str, Any]:
    """Several seeds of one arm: rates by the median of their CPU seconds, and the held-out losses."""
    seconds = statistics.median(run["cpu"] for run in runs)
    return {
        "cpu_seconds": [round(run["cpu"], 2) for run in runs],
        "wall_seconds": [round(run["wall"], 2) for run in runs],
        "loss_tokens_per_cpu_s": round(tokens["loss_tokens"] / seconds, 2),
        "tokens_per_cpu_s": round(tokens["tokens"] / seconds, 2),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "heldout_loss": [round(run["heldout"], 4) for run in runs if "heldout" in run],
    }


def measured(name: str, folder: Path, seed: int, pythons: Mapping[str, str]) -> dict[str, Any]:
    """One training of one arm, with the held-out loss of what it learned."""
    words = [str(folder), str(seed)]
    peer, _, way = name.partition(" ")
    if peer in pythons:
        run = printed([pythons[peer], str(ROOT / "benchmarks" / f"training_{peer}.py"), *words, way])
    else:
        run = arm(name, *words)
    if "tuned" in run:
        run["heldout"] = arm("score", str(folder), run["tuned"])["loss"]
        tuned = Path(run["tuned"])
        shutil.rmtree(tuned if tuned.is_dir() else tuned.parent.parent, ignore_errors=True)
    return run


def middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run of the median CPU seconds."""
    return sorted(runs, key=lambda run: run["cpu"])[len(runs) // 2]


def main() -> None:
    """Measure, print and keep."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    reader.add_argument("--model", type=Path, required=True)
    reader.add_argument("--data", type=Path, required=True)
    for peer in PEERS:
        reader.add_argument(f"--{peer}", help=f"the Python of an environment with {peer}")
    reader.add_argument("--rows", type=int, default=64)
    reader.add_argument("--heldout", type=int, default=32)
    reader.add_argument("--seeds", type=int, default=3)
    reader.add_argument("--repeats", type=int, default=5, help="how often the bare loop and ours take turns")
    reader.add_argument("--prepare", default="2000,20000", help="rows to prepare, smaller and larger")
    asked = reader.parse_args()
    folder = task(asked.model, asked.data, asked.rows, asked.heldout)
    found: dict[str, Any] = {"rows": asked.rows, "settings": SETTINGS}
    pythons = {peer: vars(asked)[peer] for peer in PEERS if vars(asked)[peer]}
    names = ["ours", *(f"{peer} {way}" for peer in pythons for way in PEERS[peer])]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for seed in range(asked.seeds):
        encoded = arm("encode", str(folder), str(seed))
        for name in names:
            run = measured(name, folder, seed, pythons)
            if name != "ours" and run["examples"] not in (encoded["train"], encoded["planned"]):
                raise SystemExit("the arms saw different examples")
            runs[name].append(run)
            print(f"seed {seed} {name}: {json.dumps(run)}", flush=True)
        found["arms"] = {name: summed_up(of_arm, runs["ours"][0]) for name, of_arm in runs.items()}
        keep("training", found)  # after each seed: a busy machine takes its time
    found["framework_share"] = arm("share", str(folder), "0", str(asked.repeats))
    turns = [{rows: arm("prepare", str(folder), rows) for rows in asked.prepare.split(",")} for _ in range(3)]
    found["prepared"] = {rows: middle([turn[rows] for turn in turns]) for rows in turns[0]}
    found["heldout_loss_before"] = arm("score", str(folder), "none")["loss"]
    print(json.dumps(found, indent=1))
    print(f"kept in {keep('training', found)}")


if __name__ == "__main__":
    main()
