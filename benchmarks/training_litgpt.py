"""LitGPT's LoRA fine-tuning on a task's own token ids and labels.

    LITGPT_PYTHON benchmarks/training_litgpt.py TASK SEED default|planned

Runs in an environment of its own (pip install 'litgpt==0.5.13') and imports nothing of ours. What trains is
LitGPT's own `main` of finetune.lora; only the rows are handed to it as tokens. Prints one JSON object. With
`planned` it takes the rows in the order of our plan: the same rows in every optimizer step.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from litgpt.args import EvalArgs, TrainArgs
from litgpt.data import DataModule, get_sft_collate_fn
from litgpt.finetune import lora
from litgpt.prompts import Default
from litgpt.scripts.convert_hf_checkpoint import convert_hf_checkpoint
from litgpt.scripts.convert_lit_checkpoint import convert_lit_checkpoint
from torch.utils.data import DataLoader

PLACES = ("query", "key", "value", "projection", "mlp", "head")
LEARN = ("query", "key", "value", "projection")


def cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Timed(DataLoader):
    """Notes the time when the first batch is asked for."""

    began = (0.0, 0.0)

    def __iter__(self) -> Iterator[Any]:
        """The batches."""
        if self.began == (0.0, 0.0):
            self.began = cpu(), time.perf_counter()
        return super().__iter__()


class Rows(DataModule):
    """Rows that are tokens already."""

    prompt_style = Default()

    def __init__(self, rows: list[dict[str, Any]], batch_size: int, shuffle: bool) -> None:
        super().__init__()
        samples = [self.sample(row) for row in rows]
        collate = get_sft_collate_fn()
        self.train = Timed(samples, batch_size=batch_size, shuffle=shuffle, collate_fn=collate)
        self.validation = DataLoader(samples[:1], batch_size=1, collate_fn=collate)

    @staticmethod
    def sample(row: dict[str, Any]) -> dict[str, Any]:
        """A row as LitGPT's own data sets give it."""
        ids = torch.tensor(row["input_ids"])
        counts = {"raw": len(ids), "raw_plus_prompt_template": len(ids)}
        return {"input_ids": ids, "labels": torch.tensor(row["labels"]), "token_counts": counts}

    def connect(self, *_: Any, **__: Any) -> None:
        """Nothing to tokenise."""

    def train_dataloader(self) -> DataLoader[Any]:
        """What is learned."""
        return self.train

    def val_dataloader(self) -> DataLoader[Any]:
        """One row: LitGPT checks its validation before it begins."""
        return self.validation


def checkpoint_of(model: Path, place: Path) -> Path:
    """The model in LitGPT's format."""
    folder = place / "base"
    folder.mkdir()
    for file in model.iterdir():
        if not file.name.startswith("model.safetensors"):
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "model.safetensors").symlink_to((model / "model.safetensors").resolve())
    convert_hf_checkpoint(folder, model_name="SmolLM2-135M-Instruct", dtype="float32")
    return folder


def main(folder: str, seed: int, flags: str) -> dict[str, Any]:
    """Train, and tell what it took."""
    told = json.loads((Path(folder) / "task.json").read_text(encoding="utf-8"))
    text = (Path(folder) / ("planned.jsonl" if flags == "planned" else "train.jsonl")).read_bytes()
    rows = [json.loads(line) for line in text.decode().splitlines()]
    torch.set_num_threads(1)
    place = Path(tempfile.mkdtemp(prefix="llmops-litgpt-"))
    base = checkpoint_of(Path(told["model"]), place)
    data = Rows(rows, told["batch_size"], shuffle=flags != "planned")
    ended: list[tuple[float, float]] = []
    # LitGPT writes an example answer after its last step: that is where the training is over
    lora.generate_example = lambda *_, **__: ended.append((cpu(), time.perf_counter()))
    adapters = {"lora_r": told["r"], "lora_alpha": told["alpha"], "lora_dropout": 0.0}
    adapters |= {f"lora_{name}": name in LEARN for name in PLACES}
    config = lora.Config.from_file(base / "model_config.yaml", **adapters)
    arguments = TrainArgs(
        save_interval=None,
        log_interval=1000,
        global_batch_size=told["batch_size"] * told["accumulate"],
        micro_batch_size=told["batch_size"],
        lr_warmup_steps=4,
        epochs=1,
        max_seq_length=told["max_length"],
    )
    optimizer = {
        "class_path": "torch.optim.AdamW",
        "init_args": {"lr": told["lr"], "weight_decay": 0.0, "betas": [0.9, 0.999]},
    }
    fabric = lightning.Fabric(devices=1, accelerator="cpu", precision="32-true")
    evaluation = EvalArgs(interval=10**6, max_new_tokens=1, final_validation=False)
    fabric.launch()
    # it keeps its command line's words, and there is no command line here
    lora.save_hyperparameters = lambda _, folder: (folder / "hyperparameters.yaml").write_text(
        json.dumps({**adapters, "checkpoint_dir": str(base), "precision": "32-true"})
    )
    lora.main(
        fabric, 1, seed, config, data, base, place / "out", arguments, evaluation, optimizer, 1, "32-true"
    )
    merged = place / "whole"
    convert_lit_checkpoint(place / "out" / "final", merged)
    return {
        "cpu": ended[0][0] - data.train.began[0],
        "wall": ended[0][1] - data.train.began[1],
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "loss_tokens": sum(label != -100 for row in rows for label in row["labels"]),
        "examples": hashlib.sha256(text).hexdigest()[:16],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "tuned": str(merged / "model.pth"),
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        found = main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    print(json.dumps(found))
