"""Products in fp8, rounded as a GPU would by torchao on a CPU. Needs the extra fp8, else skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.config import Lora
from llmops_lightning.float8 import gains, products_in_fp8
from llmops_lightning.tuning import FullTuning, LoraTuning

MakeRun = Callable[..., StepRun]

IDS = torch.arange(1, 49).view(2, 24)
SHAPE = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}


def network(tuning: str) -> nn.Module:
    torch.manual_seed(1)
    bare = LlamaForCausalLM(LlamaConfig(**SHAPE, num_attention_heads=4, num_key_value_heads=2))
    chosen: Any = FullTuning() if tuning == "full" else LoraTuning(Lora(r=16, targets=("all-linear",)))
    return chosen.apply(bare).train()  # type: ignore[no-any-return]


def losses(tuned: nn.Module) -> Iterator[float]:
    learning = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2)
    for _ in range(12):
        loss = causal.loss(tuned, {"ids": IDS, "labels": IDS}, head_waits=True) / IDS.numel()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield float(loss.detach())


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::FutureWarning:torch")
def test_a_network_learns_with_products_in_fp8_and_is_afterwards_as_it_was(
    tuning: str, make_run: MakeRun
) -> None:
    pytest.importorskip("torchao")
    plain, rounded = network(tuning), network(tuning)
    kinds = {name: type(one) for name, one in rounded.named_modules()}
    with products_in_fp8(rounded, make_run(), emulate=True):
        inside = {name for name, one in rounded.named_modules() if type(one).__name__ == "Float8Linear"}
        found = list(losses(rounded))
    assert len(inside) == 2 * 7, "all of the layers' matrices"
    assert not any("lora_" in name or "lm_head" in name for name in inside)
    expected = list(losses(plain))
    assert found[-1] < found[0] - 0.3
    assert found == pytest.approx(expected, rel=0.05)
    assert found != expected, "it rounds"
    assert {name: type(one) for name, one in rounded.named_modules()} == kinds
    after = float(causal.loss(rounded, {"ids": IDS, "labels": IDS}, head_waits=True).detach()) / IDS.numel()
    assert after < found[0] - 0.3, "what was learned stays"


def test_only_plain_matrices_of_fitting_shapes_gain() -> None:
    assert gains("self_attn.q_proj", nn.Linear(64, 32))
    assert not gains("self_attn.q_proj", nn.Linear(64, 24))
    assert not gains("self_attn.q_proj.lora_A.default", nn.Linear(64, 16))
    assert not gains("input_layernorm", nn.LayerNorm(64))
    four_bits = type("Linear4bit", (nn.Linear,), {})
    assert not gains("self_attn.q_proj", four_bits(64, 32))


def test_a_gpu_without_fp8_is_told(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100")
    with (
        pytest.raises(StepError, match=r"NVIDIA A100 has no fp8.*precision=bf16"),
        products_in_fp8(nn.Sequential(), make_run()),
    ):
        pass
