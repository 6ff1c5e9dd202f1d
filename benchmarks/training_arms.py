"""One measured training in this process.

    python -m benchmarks.training_arms encode|ours|bare|share|prepare|score TASK ...

Each prints one JSON object. TASK is a folder with task.json: the model's and the data's folders, and the
settings that all arms share.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain, Lora, Sft, SingleStrategy
from llmops_lightning.gradients import one_thread
from llmops_lightning.plan import Plan
from llmops_lightning.plugin import llmops_implementations
from llmops_lightning.schedules import learning_rate
from llmops_lightning.train import Prepared, longest_row, prepare, train
from llmops_lightning.weights import load_network, load_tokenizer


def cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> int:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def highest() -> int:
    """The most memory this process has held since Linux was told to forget (clear_refs), in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def load_part(part: Part) -> Callable[..., Any]:
    """The function of an implementation of ours."""
    found = {(one.group, one.name): one for one in llmops_implementations()}[part.group, part.use]
    module, _, function = found.target.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return loaded


@dataclass
class Clock:
    """CPU and wall seconds between a training's first and last step, as its own events tell them."""

    times: list[tuple[float, float]] = field(default_factory=list)

    def tell(self, event: events.Event) -> None:
        """Note the time: before the first step, and after each."""
        if isinstance(event, events.Progress):
            self.times.append((cpu(), time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        """What passed."""
        began, ended = self.times[0], self.times[-1]
        return {"cpu": ended[0] - began[0], "wall": ended[1] - began[1]}

    def steps(self) -> list[float]:
        """CPU seconds of each step."""
        return [after[0] - before[0] for before, after in pairwise(self.times)]


@dataclass(frozen=True)
class Task:
    """What is trained, in a scratch folder of its own."""

    told: dict[str, Any]
    place: Path
    clock: Clock

    @classmethod
    def read(cls, folder: str, seed: int) -> Task:
        """The task of a folder, with another seed."""
        told = json.loads((Path(folder) / "task.json").read_text(encoding="utf-8"))
        return cls({**told, "seed": seed}, Path(tempfile.mkdtemp(prefix="llmops-bench-")), Clock())

    @property
    def model(self) -> Model:
        """The base model."""
        folder = Path(self.told["model"])
        context = json.loads((folder / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"]
        return Model(folder=folder, name="base", parameters=0, context=context)

    @property
    def data(self) -> Dataset:
        """The rows."""
        folder = Path(self.told["data"])
        rows = {
            split: sum(1 for _ in (folder / f"{split}.jsonl").open()) for split in ("train", "validation")
        }
        return Dataset(folder=folder, rows=rows, shape="messages")

    @property
    def config(self) -> LightningTrain:
        """What all arms share, in our words."""
        told = self.told
        lora = Lora(r=told["r"], alpha=told["alpha"], targets=tuple(told["targets"]))
        return LightningTrain(
            max_rows=told["rows"],
            max_length=told["max_length"],
            lr=told["lr"],
            batch_size=told["batch_size"],
            accumulate=told["accumulate"],
            validation_rows=told["heldout"],
            threads=1,
            tuning=Part("train/tuning", "lora", lora),
            strategy=Part("train/strategy", "single", SingleStrategy(accelerator="cpu")),
            objective=Part("train/objective", "sft", Sft()),
        )

    def run(self) -> StepRun:
        """A step to train in."""
        for name in ("out", "scratch"):
            (self.place / name).mkdir(exist_ok=True)
        return StepRun(
            folder=self.place / "out",
            scratch=self.place / "scratch",
            cache=self.place,
            state=self.place,
            seed=self.told["seed"],
            loader=load_part,
            tell=self.clock.tell,
        )

    def prepared(self, config: LightningTrain) -> tuple[Prepared, Any]:
        """The examples and the plan, and the bare network."""
        network, run = load_network(self.model), self.run()
        length = longest_row(config, self.model, run)
        return prepare(config, run, self.data, length, (load_tokenizer(self.model), network)), network


def encode(folder: str, seed: int) -> dict[str, Any]:
    """Write token ids and labels for arms that are not ours; gives a digest of each file.

    train.jsonl has them in the rows' order, planned.jsonl in that of our plan with this seed, so that who
    takes its lines in order has the rows of our micro-batches and steps; heldout.jsonl has the held-out ones.
    """
    task = Task.read(folder, seed)
    prepared, _ = task.prepared(task.config)
    planned = [at for step in prepared.plan.steps() for batch in step.batches for row in batch for at in row]
    wanted: Sequence[tuple[str, Any, Sequence[int]]] = (
        ("train", prepared.examples, range(len(prepared.examples))),
        ("planned", prepared.examples, planned),
        ("heldout", prepared.validation, range(len(prepared.validation or ()))),
    )
    found: dict[str, Any] = {}
    for name, encoded, order in wanted:
        with (Path(folder) / f"{name}.jsonl").open("w", encoding="utf-8") as lines:
            for at in order:
                (part,) = encoded[at].parts
                lines.write(json.dumps({"input_ids": part.ids, "labels": part.labels}) + "\n")
        found[name] = hashlib.sha256((Path(folder) / f"{name}.jsonl").read_bytes()).hexdigest()[:16]
    return found


def ours(folder: str, seed: int, **changes: Any) -> dict[str, Any]:
    """Our own training."""
    task = Task.read(folder, seed)
    train(replace(task.config, validation_rows=0, **changes), task.run(), model=task.model, data=task.data)
    plan = Plan(task.place / "out").summary
    counts = {name: plan[name] for name in ("steps", "tokens", "loss_tokens", "padded_tokens")}
    steps = {"step_cpu": task.clock.steps()}
    return {**task.clock.seconds(), **counts, **steps, "peak_mb": peak(), "tuned": str(task.place / "out")}


def bare(folder: str, seed: int) -> dict[str, Any]:
    """The same plan, loss and optimizer in a loop of a dozen lines: what a framework is measured against."""
    task = Task.read(folder, seed)
    config = task.config
    prepared, network = task.prepared(config)
    tuned = load_part(config.tuning)(config.tuning.config, task.run()).apply(network).train()
    learning = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=config.lr, weight_decay=0.0, fused=True)
    total = len(prepared.plan)
    task.clock.tell(events.Progress(done=0, total=total))
    with one_thread():
        for at, planned in enumerate(prepared.plan.steps()):
            optimizer.param_groups[0]["lr"] = learning_rate(config, at, total)
            optimizer.zero_grad()
            for rows in planned.batches:
                batch = prepared.objective.collate([[prepared.examples[one] for one in row] for row in rows])
                (prepared.objective.loss(tuned, batch) / planned.loss_tokens).backward()
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            task.clock.tell(events.Progress(done=at + 1, total=total))
    return {**task.clock.seconds(), "step_cpu": task.clock.steps(), "peak_mb": peak()}


def share(folder: str, seed: int, repeats: int) -> dict[str, Any]:
    """What we and Lightning add to a step: both loops in turn in one process, each step by its median."""
    runs: dict[str, list[list[float]]] = {"ours": [], "bare": []}
    for _ in range(repeats):
        for name, loop in (("bare", bare), ("ours", ours)):
            runs[name].append(loop(folder, seed)["step_cpu"])
    # the first step warms caches up, for whichever loop comes first
    medians = {
        name: [statistics.median(step) for step in zip(*found, strict=True)][1:]
        for name, found in runs.items()
    }
    with_us, without = sum(medians["ours"]), sum(medians["bare"])
    return {"share": 1 - without / with_us, "ours": with_us, "bare": without, "steps": len(medians["ours"])}


def prepare_rows(folder: str, rows: int) -> dict[str, Any]:
    """Encode and plan made-up dialogues: tokens per second of one core, and memory."""
    from llmops_lightning.encoding import Encoder
    from llmops_lightning.plan import write_plan
    from llmops_lightning.planner import Schedule
    from llmops_lightning.sft import SftObjective

    task = Task.read(folder, 0)
    data, run = task.place / "data", task.run()
    data.mkdir()
    with (data / "train.jsonl").open("w", encoding="utf-8") as lines:
        for at in range(rows):
            said = " ".join(f"word{(at * 31 + place) % 997}" for place in range(20 + at % 60))
            messages = [{"role": "user", "content": f"Say {at}."}, {"role": "assistant", "content": said}]
            lines.write(json.dumps({"messages": messages}) + "\n")
    objective = SftObjective(load_tokenizer(task.model))
    # what imports held for a moment would hide what rows hold
    Path("/proc/self/clear_refs").write_text("5")
    began, before = cpu(), highest()
    encoder = Encoder(objective, 1024, run, processes=1)
    encoded = encoder.encode(Dataset(folder=data, rows={"train": rows}, shape="messages"), "train", None)
    write_plan(run.scratch, encoded, Schedule(1, 4, 2, seed=1))
    seconds, tokens = cpu() - began, encoded.facts["tokens"]
    return {
        "cpu": seconds,
        "tokens": tokens,
        "tokens_per_cpu_s": tokens / seconds,
        "more_mb": highest() - before,
    }


@torch.no_grad()
def score(folder: str, tuned: str) -> dict[str, Any]:
    """Mean held-out loss of a token, with nothing of ours between transformers and the number.

    `tuned` is a folder with an adapter, a file of whole weights by transformers' names, or `none`.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    told = json.loads((Path(folder) / "task.json").read_text(encoding="utf-8"))
    network: Any = AutoModelForCausalLM.from_pretrained(told["model"], dtype=torch.float32)
    if Path(tuned).is_dir():
        network = PeftModel.from_pretrained(network, tuned)
    elif tuned != "none":
        network.load_state_dict(torch.load(tuned, weights_only=True), strict=False)
        network.tie_weights()
    network.eval()
    total, count = 0.0, 0
    for line in (Path(folder) / "heldout.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        learned = sum(label != -100 for label in row["labels"][1:])
        found = network(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]]))
        total, count = total + float(found.loss) * learned, count + learned
    return {"loss": total / count, "tokens": count}


ARMS: dict[str, Callable[..., dict[str, Any]]] = {
    "encode": lambda folder, seed: encode(folder, int(seed)),
    "ours": lambda folder, seed: ours(folder, int(seed)),
    "bare": lambda folder, seed: bare(folder, int(seed)),
    "share": lambda folder, seed, repeats: share(folder, int(seed), int(repeats)),
    "prepare": lambda folder, rows: prepare_rows(folder, int(rows)),
    "score": score,
}

if __name__ == "__main__":
    print(json.dumps(ARMS[sys.argv[1]](*sys.argv[2:])))
