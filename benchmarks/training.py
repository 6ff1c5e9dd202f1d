"""Training beside a bare loop and beside TRL.

    python -m benchmarks.training --model FOLDER --data FOLDER [--peer PYTHON]

MODEL is a folder in the Hugging Face layout, DATA one with train.jsonl and validation.jsonl of messages (what
a quickstart leaves in .llmops/artifacts). With --peer, the Python of an environment that has TRL, its
SFTTrainer is measured in turn with ours: same weights, same token ids and labels, same adapters, eight rows
an optimizer step. Every run is a process of its own on one thread; what is judged are CPU seconds from the
first step to the last, so that a busy machine tells nearly the same. Held-out loss is scored by plain
transformers.
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


def main() -> None:
    """Measure, print and keep."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--model", type=Path, required=True)
    reader.add_argument("--data", type=Path, required=True)
    reader.add_argument("--peer", help="the Python of an environment with TRL")
    reader.add_argument("--rows", type=int, default=64)
    reader.add_argument("--heldout", type=int, default=32)
    reader.add_argument("--seeds", type=int, default=3)
    reader.add_argument("--prepare", default="2000,20000", help="rows to prepare, smaller and larger")
    asked = reader.parse_args()
    folder = task(asked.model, asked.data, asked.rows, asked.heldout)
    encoded, found = arm("encode", str(folder)), {"rows": asked.rows, "settings": SETTINGS}
    arms = ["ours", "bare", *(("trl default", "trl best", "trl chunked") if asked.peer else ())]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for seed in range(asked.seeds):
        for name in arms:
            words = [str(folder), str(seed)]
            if name.startswith("trl"):
                script = str(ROOT / "benchmarks" / "training_trl.py")
                run = printed([asked.peer, script, *words, name.removeprefix("trl ")])
                if run["examples"] != encoded["train"]:
                    raise SystemExit("the arms saw different examples")
            else:
                run = arm(name, *words)
            if "adapter" in run:
                run["heldout"] = arm("score", str(folder), run["adapter"])["loss"]
                shutil.rmtree(Path(run["adapter"]), ignore_errors=True)
            runs[name].append(run)
            print(f"seed {seed} {name}: {json.dumps(run)}", flush=True)
        keep("training", found | results(runs))  # after each seed: a busy machine takes its time
    prepared = {rows: arm("prepare", str(folder), rows) for rows in asked.prepare.split(",")}
    base = arm("score", str(folder), "none")["loss"]
    found |= {**results(runs), "prepared": prepared, "heldout_loss_before": base}
    print(json.dumps(found, indent=1))
    print(f"kept in {keep('training', found)}")


def results(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """All arms summed up, and the share of ours that a bare loop does without."""
    tokens = runs["ours"][0]
    share = [1 - bare["cpu"] / ours["cpu"] for ours, bare in zip(runs["ours"], runs["bare"], strict=True)]
    return {
        "arms": {name: summed_up(of_arm, tokens) for name, of_arm in runs.items()},
        "framework_share": [round(one, 3) for one in share],
    }


if __name__ == "__main__":
    main()
