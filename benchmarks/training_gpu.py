"""LoRA fine-tuning of an 8B Llama shape on one GPU, by our own trainer.

    python -m benchmarks.training_gpu [--compile] [--attention flash] [--fp8] [--packed] [--recompute]

Random weights and made-up text, all tokens with loss: rows of 4,096 tokens, one a micro-batch. With --packed,
rows as long as people's: their lengths are drawn from a log-normal distribution (median 350 tokens, sigma 1,
16 to 4,096), packed into rows of 4,096. Beside tokens/s it tells the share of the GPU's peak that is useful
work (MFU). As work it counts, padding left out,

    4 x weights x tokens: forward, and backward through frozen weights, whose own gradients are not made
    6 x layers x width x the sum of squared lengths: attention's two products, forward and twice backward,
    each token with those before it in its own row or example

so activations that are computed again do not count, nor adapters, nor embeddings. Peak: dense bf16 operations
a second, also for fp8. Published for rows of 4,096 on one H100 (NeMo AutoModel): 12,473 tokens/s, 402
TFLOP/s. Needs an NVIDIA GPU of 80 GB, 20 GB of disk and 40 GB of memory; everything is made here, nothing is
fetched.
`--shape tiny --device cpu` goes the same way in seconds, to see that it goes.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.measuring import RESULTS, keep
from benchmarks.training_arms import Clock, load_part
from llmops_core.artifacts import Dataset, Model
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning.config import LightningTrain, Lora, Pretrain, SingleStrategy
from llmops_lightning.encoding import Encoded
from llmops_lightning.memory import peak
from llmops_lightning.plan import Plan
from llmops_lightning.train import train

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations a second, by the GPU's name."""
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LLAMA3 = {"vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32}
TINY = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
SHAPES = {
    "8b": LlamaConfig(
        **LLAMA3,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        rope_theta=500_000.0,
        tie_word_embeddings=False,
    ),
    "tiny": LlamaConfig(**TINY, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False),
}
LENGTHS = {"8b": 4096, "tiny": 64}
MEDIAN, SIGMA, SHORTEST = 350 / 4096, 1.0, 16
"""Of the lengths of rows that are packed: the median as a share of a pack."""


def make_model(shape: str, device: str, folder: Path) -> Model:
    """Random weights in bf16, and a tokenizer whose tokens are bytes."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if device == "gpu" else "cpu"):
        network: Any = LlamaForCausalLM(SHAPES[shape])
    torch.set_default_dtype(torch.float32)
    count, context = network.num_parameters(), int(SHAPES[shape].max_position_embeddings or 0)
    network.save_pretrained(folder)
    del network
    if device == "gpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    letters = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=letters, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>").save_pretrained(folder)
    return Model(folder=folder, name=shape, parameters=count, context=context)


def row_lengths(packed: bool, longest: int, tokens: int) -> Sequence[int]:
    """The tokens of each row, enough for so many in all."""
    if not packed:
        return [longest] * (tokens // longest)
    chance, found = random.Random(0), []
    while sum(found) < tokens:
        drawn = round(MEDIAN * longest * chance.lognormvariate(0, SIGMA))
        found.append(max(SHORTEST, min(longest, drawn)))
    return found


def make_data(lengths: Sequence[int], folder: Path) -> Dataset:
    """Texts of so many tokens, the end included: a letter is one."""
    chance = random.Random(1)
    with (folder / "train.jsonl").open("w", encoding="utf-8") as lines:
        for length in lengths:
            text = "".join(chance.choices("etaoin shrdlu", k=length - 1))
            lines.write(json.dumps({"text": text}) + "\n")
    return Dataset(folder=folder, rows={"train": len(lengths)}, shape="text")


def settings(asked: argparse.Namespace) -> LightningTrain:
    """What is measured, as a recipe would say it."""
    gpu = asked.device == "gpu"
    tuning = Lora(r=8, alpha=32, targets=TARGETS, frozen="bf16" if gpu else "fp32")
    longest = LENGTHS[asked.shape]
    return LightningTrain(
        max_steps=asked.warm + asked.steps,
        max_length=longest,
        pack_length=longest if asked.packed else None,
        batching="packs" if asked.packed else "buckets",
        batch_size=asked.rows,
        accumulate=1,
        lr=1e-4,
        precision="fp8" if asked.fp8 else "bf16" if gpu else "fp32",
        recompute=asked.recompute,
        attention=asked.attention,
        compile=asked.compile,
        optimizer=asked.optimizer,
        validation_rows=0,
        checkpoint_every=10**6,
        checkpoint_minutes=None,
        tuning=Part("train/tuning", "lora", tuning),
        strategy=Part("train/strategy", "single", SingleStrategy(accelerator=asked.device)),
        objective=Part("train/objective", "pretrain", Pretrain()),
    )


def work(model: Model, shape: LlamaConfig, lengths: Sequence[int]) -> float:
    """Useful floating-point operations of rows or examples of these lengths."""
    width, layers = int(shape.hidden_size or 0), int(shape.num_hidden_layers or 0)
    weights = model.parameters - int(shape.vocab_size or 0) * width
    return 4 * weights * sum(lengths) + 6 * layers * width * sum(length**2 for length in lengths)


def measured(asked: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Train, and tell how fast."""
    for name in ("model", "data", "out", "scratch"):
        (place / name).mkdir()
    model, shape = make_model(asked.shape, asked.device, place / "model"), SHAPES[asked.shape]
    config, clock = settings(asked), Clock()
    tokens = 2 * (asked.warm + asked.steps) * asked.rows * LENGTHS[asked.shape]
    data = make_data(row_lengths(asked.packed, LENGTHS[asked.shape], tokens), place / "data")
    run = StepRun(
        folder=place / "out",
        scratch=place / "scratch",
        cache=place,
        state=place,
        loader=load_part,
        tell=clock.tell,
    )
    train(config, run, model=model, data=data)
    told = [json.loads(line) for line in (place / "out" / "training.jsonl").read_text().splitlines()]
    examples, plan = Encoded(place / "scratch" / "encoded-train"), Plan(place / "out")
    steps = list(islice(plan.steps(), asked.warm, None))
    places = [at for step in steps for batch in step.batches for row in batch for at in row]
    lengths = [int(examples.lengths[at]) for at in places]
    seconds = clock.times[-1][1] - clock.times[asked.warm][1]
    done = work(model, shape, lengths) / seconds
    name = torch.cuda.get_device_name() if asked.device == "gpu" else "cpu"
    most = next((one for known, one in PEAK.items() if known in name), None)
    return {
        "device": name,
        "parameters": model.parameters,
        "tokens_per_s": round(sum(lengths) / seconds, 1),
        "padding": round(1 - sum(lengths) / sum(step.padded_tokens for step in steps), 4),
        "useful_tflops": round(done / 1e12, 4),
        "mfu": round(done / most, 3) if most else None,
        "mfu_is": "(4 weights tokens + 6 layers width sum(length^2)) / seconds / dense bf16 peak",
        "peak_memory_gb": round(peak() / 1e9, 1),
        "seconds_a_step": round(seconds / len(steps), 4),
        "first_loss": round(told[0]["loss"], 3),
        "last_loss": round(told[-1]["loss"], 3),
        "settings": {name: one for name, one in vars(asked).items() if name != "device"},
        "torch": torch.__version__,
    }


def kept(found: Mapping[str, Any], settings: Mapping[str, Any]) -> Path:
    """Keep a run beside those with other settings."""
    file = RESULTS / "training_gpu.json"
    before = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.exists() else {}
    name = " ".join(f"{key}={value}" for key, value in settings.items() if value not in (False, None))
    return keep("training_gpu", {"runs": {**before, name: dict(found)}})


def main() -> None:
    """Measure, print, and keep what a GPU did."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    reader.add_argument("--shape", choices=sorted(SHAPES), default="8b")
    reader.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    reader.add_argument("--steps", type=int, default=12)
    reader.add_argument("--warm", type=int, default=4, help="steps before those that are measured")
    reader.add_argument("--rows", type=int, default=1, help="of a micro-batch")
    reader.add_argument("--packed", action="store_true", help="rows as long as people's, packed")
    reader.add_argument("--compile", action="store_true")
    reader.add_argument("--fp8", action="store_true", help="with --compile")
    reader.add_argument("--recompute", action="store_true")
    reader.add_argument("--attention", choices=("auto", "sdpa", "eager", "flash", "flex"), default="auto")
    reader.add_argument("--optimizer", choices=("adamw", "adamw8bit"), default="adamw")
    asked = reader.parse_args()
    if asked.device == "gpu" and not torch.cuda.is_available():
        raise SystemExit("this benchmark needs an NVIDIA GPU (--shape tiny --device cpu tries its way out)")
    with tempfile.TemporaryDirectory(prefix="llmops-bench-") as place:
        found = measured(asked, Path(place))
    print(json.dumps(found, indent=1))
    if asked.device == "gpu":
        print(f"kept in {kept(found, found['settings'])}")


if __name__ == "__main__":
    main()
