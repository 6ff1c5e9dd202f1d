"""The benchmark for a GPU goes the same way on a CPU, in a tiny shape."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("benchmarks.training_gpu")
ROOT = Path(__file__).parent.parent.parent


def test_the_benchmark_trains_and_tells_its_speed_and_how_it_was_counted() -> None:
    kept = ROOT / "benchmarks" / "results" / "training_gpu.json"
    before = kept.read_bytes() if kept.exists() else None
    words = ["--shape", "tiny", "--device", "cpu", "--steps", "2", "--warm", "1", "--rows", "2", "--packed"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training_gpu", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert found["tokens_per_s"] > 0 and found["useful_tflops"] > 0 and found["seconds_a_step"] > 0
    assert 0 <= found["padding"] < 0.5, "rows are packed"
    assert found["first_loss"] == pytest.approx(6.2, abs=0.3), "the logarithm of 512 tokens"
    assert (found["mfu"], found["device"]) == (None, "cpu")
    assert {"mfu_is", "peak_memory_gb", "parameters", "settings", "torch"} <= set(found)
    assert (kept.read_bytes() if kept.exists() else None) == before, "only what a GPU did is kept"


def test_work_counts_weights_once_a_token_and_attention_by_the_square_of_lengths() -> None:
    from benchmarks.training_gpu import LENGTHS, SHAPES, row_lengths, work
    from llmops_core.artifacts import Model

    model = Model(folder=Path(), name="8b", parameters=8_030_261_248, context=8192)
    a_token = work(model, SHAPES["8b"], [4096]) / 4096
    # weights without the embeddings' 0.5 billion, times 4, and attention's tenth of that beside it
    assert a_token == pytest.approx(4 * 7.505e9 + 6 * 32 * 4096 * 4096, rel=1e-3)
    # the published 12,473 tokens/s would be 416 TFLOP/s by this count, where 402 are published
    assert 12_473 * a_token / 1e12 == pytest.approx(402, rel=0.05)
    drawn = sorted(row_lengths(True, LENGTHS["8b"], 2_000_000))
    assert drawn[len(drawn) // 2] == pytest.approx(350, rel=0.05)
    assert (drawn[0] >= 16, drawn[-1]) == (True, 4096)
