"""Weights in four bits, and an optimizer whose state is in eight: on a CPU, with bitsandbytes as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.config import Full, LightningTrain, Lora
from llmops_lightning.export import answers
from llmops_lightning.train import train
from llmops_lightning.tuning import LoraTuning
from llmops_lightning.weights import load_network, quiet

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]

QLORA = Lora(r=4, quantise="nf4", targets=("all-linear",))


@pytest.fixture
def broad(tmp_path: Path, base: Model) -> Model:
    """A base of rows that 4-bit blocks divide, and with matrices of 4,096 numbers and more."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    torch.manual_seed(1)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    network = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=256, **shape))
    folder = tmp_path / "broad"
    with quiet():
        network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Model(folder=folder, name="broad", parameters=network.num_parameters(), context=256)


def curve(model: Model, what: str) -> list[float]:
    from json import loads

    rows = [loads(line) for line in (model.folder / "training.jsonl").read_text().splitlines()]
    return [row[what] for row in rows if what in row]


def test_adapters_learn_beside_weights_in_four_bits(
    broad: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuned = train(settings(tuning=QLORA, lr=0.02), make_run(), model=broad, data=data)
    plain = train(
        settings(tuning=Lora(r=4, targets=QLORA.targets), lr=0.02), make_run("plain"), model=broad, data=data
    )
    losses = curve(tuned, "validation_loss")
    assert losses[-1] < losses[0] - 0.1
    assert losses == pytest.approx(curve(plain, "validation_loss"), abs=0.15)
    assert losses != curve(plain, "validation_loss")


def dequantised(network: nn.Module) -> nn.Module:
    """The same network, its weights as what their four bits stand for."""
    from bitsandbytes.functional import dequantize_4bit

    for name, module in list(network.named_modules()):
        if type(module).__name__ != "Linear4bit" or "bitsandbytes" not in type(module).__module__:
            continue
        state: Any = module.weight.quant_state
        plain = nn.Linear(module.in_features, module.out_features, bias=False, dtype=torch.bfloat16)
        plain.weight.data = dequantize_4bit(module.weight.data, state).to(torch.bfloat16)
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, plain.requires_grad_(False))
    return network


def test_gradients_pass_through_four_bits_also_after_an_answer(broad: Model) -> None:
    """On processors with AVX512-BF16, a first answer would pack the weights for inference alone."""
    found: list[dict[str, torch.Tensor]] = []
    ids = torch.arange(1, 41).view(2, 20)
    for plain in (False, True):
        network = load_network(broad, **LoraTuning(QLORA).loading)
        answers(network)
        if plain:
            network = dequantised(network)
        torch.manual_seed(3)
        tuned = LoraTuning(Lora(r=4, targets=QLORA.targets) if plain else QLORA).apply(network)
        for name, one in tuned.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(one, std=0.1)
        causal.loss(tuned.train(), {"ids": ids, "labels": ids}, head_waits=True).backward()
        found.append({name: one.grad for name, one in tuned.named_parameters() if one.grad is not None})
    four, whole = found
    assert four.keys() == whole.keys() and len(four) == 2 * 2 * 7
    for name, one in four.items():
        assert float(one.abs().max()) > 0
        distance = float((one - whole[name]).norm() / whole[name].norm())
        assert distance < 0.05, (name, distance)


class StopError(Exception):
    pass


def test_an_optimizer_in_eight_bits_learns_as_adamw_and_goes_on_with_the_same_bytes(
    broad: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    config = settings(tuning=Full(), optimizer="adamw8bit", lr=1e-3, checkpoint_every=2)
    undisturbed = train(config, make_run("undisturbed"), model=broad, data=data)
    plain = train(settings(tuning=Full(), lr=1e-3), make_run("plain"), model=broad, data=data)
    losses = curve(undisturbed, "loss")
    assert losses == pytest.approx(curve(plain, "loss"), abs=0.02)
    assert losses[-1] < losses[0] - 0.1

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done == 5:
            raise StopError

    with pytest.raises(StopError):
        train(config, make_run("stopped", tell=tell), model=broad, data=data)
    scratch = make_run("unused").scratch.parent / "stopped-scratch"
    left = torch.load(scratch / "step-00000004.ckpt", weights_only=True)
    moments = left["state"]["model.layers.0.mlp.up_proj.weight"]
    assert (moments["state1"].dtype, moments["state2"].dtype) == (torch.uint8, torch.uint8)
    resumed = train(config, make_run("resumed", scratch=scratch), model=broad, data=data)
    for file in ("model.safetensors", "training.jsonl"):
        assert (resumed.folder / file).read_bytes() == (undisturbed.folder / file).read_bytes(), file
