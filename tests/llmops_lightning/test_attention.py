"""Attention's kernels: which is chosen, and that none lets the examples of a pack see each other.

FlashAttention itself needs a GPU: here functions of the same meaning stand in for its two, under
transformers' own wiring. FlexAttention computes forward on a CPU, so that much of it runs here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning import attention, causal
from llmops_lightning.attention import attending, kernel
from llmops_lightning.config import LightningTrain, SingleStrategy
from llmops_lightning.objective import Batch, Example, Tokens

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]


def packs() -> Batch:
    """Two rows of several examples each, of other lengths, and padding."""
    chance = torch.Generator().manual_seed(0)

    def example(length: int) -> Example:
        ids = tuple(torch.randint(1, 200, (length,), generator=chance).tolist())
        return Example.of(Tokens(ids, (-100, *ids[1:])))

    return causal.collate([[example(9), example(1), example(14)], [example(5), example(12)]], padding=0)


def dense(query: Tensor, key: Tensor, value: Tensor, **ignored: Any) -> Tensor:
    """Causal attention of [rows, tokens, heads, width], as FlashAttention's plain function."""
    query, key, value = (one.transpose(1, 2) for one in (query, key, value))
    found = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    return found.transpose(1, 2)


def varying(query: Tensor, key: Tensor, value: Tensor, cu_seqlens_q: Tensor, **ignored: Any) -> Tensor:
    """The same of [tokens, heads, width], apart between boundaries."""
    edges = cu_seqlens_q.tolist()
    parts = [
        dense(query[None, a:b], key[None, a:b], value[None, a:b])[0] for a, b in itertools.pairwise(edges)
    ]
    return torch.cat(parts)


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlashAttention's functions, in torch."""
    functions = (dense, varying, None, None, None)
    ways: Callable[..., Any] = lambda *arguments, **named: {}  # noqa: E731
    monkeypatch.setattr(
        "transformers.modeling_flash_attention_utils.lazy_import_flash_attention",
        lambda implementation: (functions, (ways, ways)),
    )


def gradients(network: nn.Module) -> dict[str, Tensor]:
    network.zero_grad()
    causal.loss(network, packs(), head_waits=True).backward()
    return {name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}


@pytest.mark.usefixtures("flash")
def test_flash_attention_is_told_of_packs_in_every_row_of_a_batch(base: Model) -> None:
    network: Any = AutoModelForCausalLM.from_pretrained(base.folder)
    expected = gradients(network)
    network.config._attn_implementation = "flash_attention_2"
    found = gradients(network)
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        assert torch.allclose(found[name], one, atol=1e-4 * float(one.abs().max() + 1)), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, inside its compiler
def test_flex_attention_isolates_packs(base: Model, make_run: MakeRun, settings: Settings) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    with torch.no_grad():
        expected = causal.loss(network, packs(), head_waits=True)
        with attending(network, settings(attention="flex"), make_run()):
            assert network.config._attn_implementation == "flex_attention"
            found = causal.loss(network, packs(), head_waits=True)
    assert network.config._attn_implementation == "sdpa"
    assert torch.allclose(found, expected, rtol=1e-5)


GPU = Part("train/strategy", "single", SingleStrategy())
FITS = SimpleNamespace(
    _supports_flash_attn=True, _supports_flex_attn=True, config=SimpleNamespace(to_dict=dict)
)


@pytest.mark.parametrize(
    ("installed", "changes", "expected"),
    [
        (None, {"batching": "packs"}, "flex_attention"),
        ("flash_attention_2", {"batching": "packs", "precision": "bf16"}, "flash_attention_2"),
        ("flash_attention_2", {"batching": "packs", "precision": "fp32"}, "flex_attention"),
        ("flash_attention_3", {"batching": "buckets", "precision": "bf16"}, None),
        ("flash_attention_3", {"attention": "flash", "precision": "bf16"}, "flash_attention_3"),
        ("flash_attention_3", {"attention": "eager", "batching": "packs"}, "eager"),
    ],
)
def test_on_a_gpu_packs_get_a_kernel_that_passes_over_what_they_mask(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    installed: str | None,
    changes: Any,
    expected: str | None,
) -> None:
    monkeypatch.setattr(attention, "flash", lambda: installed)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert kernel(FITS, settings(strategy=GPU, **changes)) == expected


def test_on_a_cpu_attention_stays_as_the_model_was_loaded(settings: Settings) -> None:
    assert kernel(FITS, settings(batching="packs")) is None


def test_a_model_that_does_not_bear_a_kernel_is_refused_and_auto_passes_it_by(
    base: Model, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    dropping = LlamaForCausalLM(LlamaConfig(intermediate_size=16, attention_dropout=0.1, **small))
    with (
        pytest.raises(StepError, match=r"attention with flex_attention: it drops some .*attention=sdpa"),
        attending(dropping, settings(attention="flex"), make_run("drops")),
    ):
        pass
    network = AutoModelForCausalLM.from_pretrained(base.folder)
    with (
        pytest.raises(StepError, match=r"flash_attention_2: .*[Ff]lash"),
        attending(network, settings(attention="flash"), make_run("absent")),
    ):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert kernel(dropping, settings(strategy=GPU, batching="packs")) is None
