"""LoRA fine-tuning of an 8B Llama shape on one GPU.

    python -m benchmarks.training_gpu [--steps 12] [--recompute]

Random weights, sequences of 4,096 tokens that all have loss, one sequence a micro-batch. Beside tokens/s it
tells the share of the GPU's peak that is useful work (MFU). Of each token's work it counts

    4 x weights: forward, and backward through frozen weights, whose own gradients are not made
    12 x layers x width x length / 2: attention's two products, forward and twice backward, causal

so recomputed activations do not count. Published for the same setting on one H100 (NeMo AutoModel): 12,473
tokens/s, 402 TFLOP/s. Needs an NVIDIA GPU of 80 GB; everything is made here, nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.measuring import keep
from llmops_lightning import causal
from llmops_lightning.config import Lora
from llmops_lightning.network_modes import recompute
from llmops_lightning.tuning import LoraTuning

LENGTH = 4096
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations a second, by the GPU's name."""
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def shape() -> LlamaConfig:
    """Llama 3 of 8B parameters."""
    return LlamaConfig(
        vocab_size=128_256,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
    )


def operations(parameters: int, told: LlamaConfig) -> float:
    """Useful floating-point operations of one token."""
    layers, width = int(told.num_hidden_layers or 0), int(told.hidden_size or 0)
    return 4 * parameters + 12 * layers * width * LENGTH / 2


def measured(steps: int, warm: int, again: bool) -> dict[str, Any]:
    """Train on made-up tokens, and tell how fast."""
    torch.manual_seed(0)
    told = shape()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        network: Any = LlamaForCausalLM(told)
    torch.set_default_dtype(torch.float32)
    parameters = network.num_parameters() - network.get_input_embeddings().weight.numel()
    tuned = LoraTuning(Lora(r=8, alpha=32, targets=TARGETS, frozen="bf16")).apply(network).train()
    if again:
        recompute(tuned, random=False)
    learning = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4, fused=True)
    ids = torch.randint(0, told.vocab_size, (1, LENGTH), device="cuda")
    batch = {"ids": ids, "labels": ids}
    began, losses = 0.0, []
    for step in range(warm + steps):
        if step == warm:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            loss = causal.loss(tuned, batch, head_waits=True) / (LENGTH - 1)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    name = torch.cuda.get_device_name()
    speed = steps * LENGTH / seconds
    work = speed * operations(parameters, told)
    peak = next((one for known, one in PEAK.items() if known in name), None)
    return {
        "gpu": name,
        "tokens_per_s": round(speed),
        "useful_tflops": round(work / 1e12, 1),
        "mfu": round(work / peak, 3) if peak else None,
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1),
        "recompute": again,
        "first_loss": round(float(losses[0]), 3),
        "last_loss": round(float(losses[-1]), 3),
    }


def main() -> None:
    """Measure, print and keep."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--steps", type=int, default=12)
    reader.add_argument("--warm", type=int, default=4)
    reader.add_argument("--recompute", action="store_true")
    asked = reader.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs an NVIDIA GPU")
    found = measured(asked.steps, asked.warm, asked.recompute)
    print(json.dumps(found, indent=1))
    print(f"kept in {keep('training_gpu', found)}")


if __name__ == "__main__":
    main()
