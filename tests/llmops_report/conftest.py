"""A made-up run with everything a real one leaves behind."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Dataset, Endpoint, Model, Release, Scores
from llmops_report.facts import Facts

TRAINING_STEPS = 180
GATES = {"perplexity_ratio": {"at_most": 0.8}, "rouge_l": {"at_least": 0.15}}


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def step(name: str, use: str, result: str, seconds: float, **more: Any) -> dict[str, Any]:
    """A step's record as the runner writes it."""
    return {
        "name": name,
        "stage": name,
        "use": use,
        "action": "run",
        "reason": "it has never run",
        "key": f"key-of-{name}",
        "inputs": {},
        "output": f"digest-of-{name}",
        "status": "done",
        "seconds": seconds,
        "result": result,
        "estimate": {},
        "actual": {"time": seconds, "memory": 0, "download": 0},
        "attempts": 1,
        "error": None,
        "warnings": [],
        **more,
    }


def steps() -> list[dict[str, Any]]:
    """The six steps of a run that released."""
    train_estimate = {
        "time": {"value": 85.0, "basis": "from 3 earlier runs, ±12 %"},
        "memory": {"value": 2.0e9, "basis": "from the configuration"},
        "download": {"value": 0, "basis": ""},
    }
    reused = {"action": "reuse", "status": "reused", "reason": "same as run 3 (yesterday 14:02)"}
    quoted = "12 lines were no JSON objects; the first: line 40: {'text': <br>"
    return [
        step("data", "text", "1,962 → 871 rows, 4f1c", 0.02, **reused, warnings=[quoted]),
        step("model", "pretrained", "SmolLM2-135M-Instruct, 134.5M parameters", 0.01, **reused),
        step(
            "train",
            "lightning",
            "180 steps, loss 3.1 → 1.83",
            84.1,
            reason="train.lr: 2e-4 → 3e-4",
            estimate=train_estimate,
            actual={"time": 84.1, "memory": 2_100_000_000, "download": 0},
        ),
        step(
            "evaluate",
            "answers",
            "base 38.1 → tuned 21.4 perplexity (ratio 0.56, 95 % 0.51–0.62)",
            41.2,
            reason="train's output changed",
            estimate={"time": {"value": 40, "basis": "a guess from 96 rows"}},
        ),
        step(
            "release",
            "gated",
            "r-4 · 9b03 · 2 of 2 gates passed",
            0.4,
            inputs={"scores": "digest-of-evaluate"},
        ),
        step(
            "deploy",
            "openai_server",
            "answered in 1.1 s, stopped",
            12.6,
            action="always",
            reason="always acts",
        ),
    ]


def manifest() -> dict[str, Any]:
    """The record of a run that released."""
    return {
        "format": 1,
        "id": "7",
        "name": "",
        "tags": ["warmer"],
        "parent": "3",
        "recipe": "quickstart",
        "recipe_path": "recipes/quickstart.yaml",
        "overrides": ["train.lr=3e-4", "train.tuning.rank=16"],
        "environment": "dev",
        "seed": 7,
        "status": "done",
        "started": "2026-11-22T09:14:17Z",
        "ended": "2026-11-22T09:16:35Z",
        "seconds": 138.2,
        "error": None,
        "git": {"commit": "4be1c09a77d2f0e85a1b7c44d1f2", "dirty": True},
        "packages": {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"},
        "machine": {
            "system": "Linux 6.1",
            "processor": "AMD EPYC 7B13",
            "cores": 2,
            "memory": 8_330_000_000,
            "python": "3.11.7",
        },
        "config": {
            "train": {"use": "lightning", "lr": 3e-4, "epochs": 2, "tuning": {"use": "lora", "rank": 16}},
            "release": {"use": "gated", "gates": GATES},
        },
        "steps": steps(),
    }


def training_rows() -> list[dict[str, Any]]:
    """A falling, noisy loss with a validation every 30 steps."""
    noise = random.Random(7)
    rows: list[dict[str, Any]] = []
    for at in range(1, TRAINING_STEPS + 1):
        level = 1.75 + 1.6 * math.exp(-at / 40)
        rate = 3e-4 * min(1.0, at / 18) * (1 - at / (TRAINING_STEPS + 1))
        rows.append({"step": at, "loss": level + noise.gauss(0, 0.16), "lr": rate, "tokens": 700 + at})
        if at % 30 == 0:
            rows.append({"step": at, "validation_loss": level + 0.12})
    return rows


def samples() -> list[dict[str, Any]]:
    """Answers, one of them hostile."""
    return [
        {
            "prompt": "My laptop is slow since the last update. What can I do?",
            "reference": "Restart it, then look in the task manager for what uses the processor.",
            "baseline": "I am sorry to hear that! There are many reasons why a laptop could be slow. " * 3,
            "candidate": "Restart it, then look at what runs in the task manager.",
        },
        {
            "prompt": "What is a <b>kernel</b>?",
            "reference": "The part of an operating system that talks to the hardware.",
            "baseline": "</p><script>document.title='taken'</script><img src=x onerror=alert(1)>",
            "candidate": "The core of an operating system & its drivers.",
        },
        {"prompt": "מה זה מחשב?", "reference": "A computer.", "baseline": "", "candidate": "מכונה שמחשבת"},
        *(
            {"prompt": f"Question {n}", "reference": "Yes.", "baseline": "Maybe.", "candidate": "Yes."}
            for n in range(4, 9)
        ),
    ]


def score(value: float, low: float, high: float, better: str) -> dict[str, Any]:
    """One measured number."""
    return {"value": value, "low": low, "high": high, "better": better}


def make_scores(folder: Path) -> Scores:
    """Five scores of both models, and their ratio."""
    write_lines(folder / "samples.jsonl", samples())
    return Scores(
        folder=folder,
        digest="digest-of-evaluate",
        rows=96,
        values={
            "perplexity": score(21.4, 20.0, 23.1, "lower"),
            "exact_match": score(0.21, 0.13, 0.3, "higher"),
            "bleu": score(11.2, 8.4, 14.6, "higher"),
            "rouge_l": score(0.312, 0.27, 0.36, "higher"),
            "perplexity_ratio": score(0.562, 0.51, 0.62, "lower"),
        },
        baseline={
            "perplexity": score(38.1, 35.9, 40.6, "lower"),
            "exact_match": score(0.0, 0.0, 0.0, "higher"),
            "bleu": score(9.1, 6.6, 12.0, "higher"),
            "rouge_l": score(0.171, 0.15, 0.195, "higher"),
        },
    )


def make_dataset(folder: Path) -> Dataset:
    """A data set most of whose rows were duplicates."""
    write_lines(
        folder / "duplicates.jsonl",
        (
            {"kept": f"How do I reset {n}?", "removed": f"How do I reset {n} ?", "similarity": 0.96}
            for n in range(30)
        ),
    )
    return Dataset(
        folder=folder,
        digest="digest-of-data",
        rows={"train": 697, "validation": 78, "test": 96},
        shape="messages",
        funnel=[
            {"step": "read", "rows": 1962, "note": "chatterbot-corpus 1.3.3, 17 files"},
            {"step": "normalise", "rows": 1962, "note": "Unicode NFC, white space"},
            {"step": "length", "rows": 1899, "note": "1 to 512 words"},
            {"step": "exact_duplicates", "rows": 1204, "note": ""},
            {
                "step": "near_duplicates",
                "rows": 871,
                "note": "at least 0.8 alike; a group stays in one split",
            },
        ],
    )


def make_run(root: Path) -> Facts:
    """A run that released, its artifacts' files under `root`."""
    base = Model(
        folder=root / "model", digest="digest-of-model", name="SmolLM2", parameters=134_515_008, context=2048
    )
    tuned = Model(
        folder=root / "train",
        digest="digest-of-train",
        name="tuned",
        parameters=1_200_000,
        context=2048,
        base=base,
    )
    write_lines(tuned.folder / "training.jsonl", training_rows())
    scores = make_scores(root / "evaluate")
    judged = {
        "perplexity_ratio": {"value": 0.562, "at_most": 0.8, "passed": True},
        "rouge_l": {"value": 0.312, "at_least": 0.15, "passed": True},
    }
    release = Release(
        folder=root / "release", digest="9b03d2c4", candidate=tuned, scores=scores, gates=judged, prompt={}
    )
    endpoint = Endpoint(
        folder=root / "deploy", url="http://127.0.0.1:8000", release=release, environment="dev", process=0
    )
    return Facts(
        manifest(),
        {
            "data": make_dataset(root / "data"),
            "model": base,
            "train": tuned,
            "evaluate": scores,
            "release": release,
            "deploy": endpoint,
        },
    )


def refused_run(root: Path) -> Facts:
    """A run whose second gate missed by little: nothing was released or deployed."""
    run = make_run(root)
    document = dict(run.document)
    document["config"]["release"]["gates"] = {
        "perplexity_ratio": {"at_most": 0.5619},
        "rouge_l": {"at_least": 0.15},
    }
    remedy = "Train longer, or set release.gates.perplexity_ratio.at_most to what you accept."
    error = {
        "where": "release.gates.perplexity_ratio",
        "what": "perplexity_ratio is 0.562, more than 0.5619",
        "remedy": remedy,
    }
    document |= {"status": "refused", "error": error}
    document["steps"][4] |= {"status": "refused", "output": "", "result": "", "error": error}
    document["steps"][5] |= {"status": "pending", "output": "", "result": "", "seconds": None, "actual": {}}
    kept = {name: run.artifacts[name] for name in ("data", "model", "train", "evaluate")}
    return Facts(document, kept)


def failed_run(root: Path) -> Facts:
    """A run whose training found nothing to learn from."""
    run = make_run(root)
    error = {
        "where": "train.truncate",
        "what": "every label of all 697 rows is masked away",
        "remedy": "Raise train.longest (now 16 tokens), so that answers are kept.",
    }
    document = dict(run.document)
    document |= {"status": "failed", "error": error}
    document["steps"][2] |= {"status": "failed", "output": "", "result": "", "error": error, "attempts": 3}
    for later in document["steps"][3:]:
        later |= {"status": "pending", "output": "", "result": "", "seconds": None, "actual": {}}
    return Facts(document, {name: run.artifacts[name] for name in ("data", "model")})


def interrupted_run(root: Path) -> Facts:
    """A run that was stopped while it trained."""
    run = failed_run(root)
    document = dict(run.document)
    document |= {"status": "interrupted", "error": None}
    document["steps"][2] |= {"status": "interrupted", "error": None, "attempts": 1, "seconds": 31.7}
    for gone in ("ended", "seconds", "git", "packages"):
        del document[gone]
    return Facts(document, run.artifacts)


@pytest.fixture
def released(tmp_path: Path) -> Facts:
    """A run that released."""
    return make_run(tmp_path)


@pytest.fixture
def refused(tmp_path: Path) -> Facts:
    """A run that a gate refused."""
    return refused_run(tmp_path)


@pytest.fixture
def failed(tmp_path: Path) -> Facts:
    """A run that failed in training."""
    return failed_run(tmp_path)


@pytest.fixture
def interrupted(tmp_path: Path) -> Facts:
    """A run that was interrupted in training."""
    return interrupted_run(tmp_path)
