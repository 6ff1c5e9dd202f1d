"""bf16: frozen weights and products in it, adapters, sums and the loss in fp32."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional
from transformers import AutoModelForCausalLM

from llmops_core.artifacts import Dataset, Model
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.config import LightningTrain, Lora
from llmops_lightning.train import train
from llmops_lightning.tuning import LoraTuning
from llmops_lightning.weights import load_network

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_adapters_are_fp32_beside_every_frozen_weight_in_bf16(base: Model, dora: bool) -> None:
    tuning = LoraTuning(Lora(r=4, frozen="bf16", dora=dora, targets=("all-linear",)))
    network = tuning.apply(load_network(base, **tuning.loading))
    learning = {name: one.dtype for name, one in network.named_parameters() if one.requires_grad}
    frozen = {one.dtype for one in network.parameters() if not one.requires_grad}
    assert set(learning.values()) == {torch.float32} and frozen == {torch.bfloat16}
    assert any("magnitude" in name for name in learning) is dora


@pytest.mark.parametrize("waits", [True, False], ids=["head waits", "whole"])
def test_the_loss_of_scores_in_bf16_is_computed_in_fp32(base: Model, waits: bool) -> None:
    network: Any = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    ids = torch.randint(0, 200, (4, 60), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores = network(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1)
        found = causal.loss(network, {"ids": ids, "labels": ids}, head_waits=waits)
    targets = ids[:, 1:].flatten()
    assert (scores.dtype, found.dtype) == (torch.bfloat16, torch.float32)
    exact = functional.cross_entropy(scores.double(), targets, reduction="sum")
    rounded = functional.cross_entropy(scores, targets, reduction="sum")
    assert float(found) == pytest.approx(float(exact), rel=1e-5)
    assert float(rounded) != pytest.approx(float(exact), rel=1e-4), "in bf16 it would show"


def test_a_training_in_mixed_bf16_learns_as_one_in_fp32(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuned = [
        train(settings(lr=0.02, max_steps=4, **changes), make_run(name), model=base, data=data)
        for name, changes in (
            ("plain", {}),
            ("mixed", {"precision": "bf16", "tuning": Lora(r=4, frozen="bf16")}),
        )
    ]
    curves = [(one.folder / "training.jsonl").read_text().splitlines() for one in tuned]
    plain, mixed = ([json.loads(line).get("loss") for line in curve] for curve in curves)
    plain, mixed = ([loss for loss in losses if loss is not None] for losses in (plain, mixed))
    assert mixed == pytest.approx(plain, abs=0.03)
    assert mixed != plain
    with safe_open(tuned[1].folder / "adapter_model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float32}  # noqa: SIM118
