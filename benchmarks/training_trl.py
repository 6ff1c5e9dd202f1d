"""TRL's SFTTrainer on a task's own token ids and labels.

    TRL_PYTHON benchmarks/training_trl.py TASK SEED default|best|chunked|planned

Runs in an environment of its own and imports nothing of ours. Prints one JSON object. With `planned` it takes
the rows in the order of our plan: the same rows, so the same loss tokens, in every optimizer step.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

FLAGS: dict[str, dict[str, Any]] = {
    "default": {},
    "best": {"train_sampling_strategy": "group_by_length", "gradient_checkpointing": False},
    "chunked": {
        "train_sampling_strategy": "group_by_length",
        "gradient_checkpointing": False,
        "loss_type": "chunked_nll",
    },
    "planned": {"train_sampling_strategy": "sequential", "gradient_checkpointing": False},
}


def cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Clock(TrainerCallback):
    """CPU and wall seconds between a training's beginning and end."""

    began = ended = (0.0, 0.0)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.began = cpu(), time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.ended = cpu(), time.perf_counter()


def main(folder: str, seed: int, flags: str) -> dict[str, Any]:
    """Train, and tell what it took."""
    told = json.loads((Path(folder) / "task.json").read_text(encoding="utf-8"))
    name = "planned" if flags == "planned" else "train"
    text = (Path(folder) / f"{name}.jsonl").read_bytes()
    rows = [json.loads(line) for line in text.decode().splitlines()]
    torch.set_num_threads(1)
    out, clock = tempfile.mkdtemp(prefix="llmops-trl-"), Clock()
    arguments = SFTConfig(
        output_dir=out,
        per_device_train_batch_size=told["batch_size"],
        gradient_accumulation_steps=told["accumulate"],
        num_train_epochs=1,
        learning_rate=told["lr"],
        lr_scheduler_type="cosine",
        warmup_steps=4,
        weight_decay=0.0,
        max_grad_norm=1.0,
        max_length=told["max_length"],
        seed=seed,
        bf16=False,
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        **FLAGS[flags],
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(told["model"], dtype=torch.float32),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(told["model"]),
        peft_config=LoraConfig(
            r=told["r"], lora_alpha=told["alpha"], target_modules=told["targets"], task_type="CAUSAL_LM"
        ),
        callbacks=[clock],
    )
    trainer.train()
    trainer.save_model(out)
    return {
        "cpu": clock.ended[0] - clock.began[0],
        "wall": clock.ended[1] - clock.began[1],
        "steps": trainer.state.global_step,
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "loss_tokens": sum(label != -100 for row in rows for label in row["labels"]),
        "examples": hashlib.sha256(text).hexdigest()[:16],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "tuned": out,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
