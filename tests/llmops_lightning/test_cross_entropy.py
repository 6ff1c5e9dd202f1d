"""The loss in chunks is the loss of all scores at once, its gradients too, and holds fewer numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from llmops_core.artifacts import Dataset, Model
from llmops_core.step import StepRun
from llmops_lightning import cross_entropy
from llmops_lightning.config import Full, LightningTrain, Sft
from llmops_lightning.sft import SftObjective
from llmops_lightning.train import train
from llmops_lightning.weights import quiet

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Chunks of so many rows, whatever their number; 0: all at once."""

    def set_to(rows: int) -> None:
        monkeypatch.setattr(cross_entropy, "CHUNK", rows * 258)
        monkeypatch.setattr(cross_entropy, "WHOLE", 0 if rows else 10**12)

    return set_to


def full(network: nn.Module) -> nn.Module:
    return network.requires_grad_(True)


def frozen_head(network: Any) -> nn.Module:
    tuned: nn.Module = get_peft_model(network, LoraConfig(target_modules=["q_proj"], lora_dropout=0.0))
    return tuned


def on_the_head(dora: bool) -> Callable[[Any], nn.Module]:
    def tune(network: Any) -> nn.Module:
        network.lm_head.weight = nn.Parameter(network.lm_head.weight.detach().clone())
        network.config.tie_word_embeddings = False
        settings = LoraConfig(target_modules=["q_proj", "lm_head"], use_dora=dora, init_lora_weights=False)
        tuned: nn.Module = get_peft_model(network, settings)
        return tuned

    return tune


def gradients(network: nn.Module, batch: Any, objective: Any) -> tuple[float, dict[str, Tensor]]:
    network.zero_grad()
    loss = objective.loss(network, batch) / 7
    loss.backward()
    return float(loss.detach()), {
        name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("tune", [full, frozen_head, on_the_head(False), on_the_head(True)])
def test_gradients_are_those_of_all_scores_at_once(
    base: Model,
    tokenizer: Any,
    chunks: Callable[[int], None],
    tune: Callable[[Any], nn.Module],
    smoothing: float,
) -> None:
    torch.manual_seed(5)
    with quiet():
        network = tune(AutoModelForCausalLM.from_pretrained(base.folder)).train()
    objective = SftObjective(tokenizer, Sft(label_smoothing=smoothing), head_waits=True)
    rows = [
        {"prompt": "a question", "completion": f"an answer of some length {n}" * (n + 1)} for n in range(3)
    ]
    batch = objective.collate([objective.encode(row, 200) for row in rows])
    chunks(0)
    loss, expected = gradients(network, batch, objective)
    assert expected
    for size in (1, 10, 10**6):
        chunks(size)
        same, found = gradients(network, batch, objective)
        assert same == pytest.approx(loss, rel=1e-5)
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            assert torch.allclose(gradient, expected[name], rtol=1e-4, atol=1e-6), name


def test_in_lower_precision_each_chunk_learns_too(chunks: Callable[[int], None]) -> None:
    torch.manual_seed(1)
    head, hidden, targets = nn.Linear(16, 258), torch.randn(40, 16), torch.randint(0, 258, (40,))

    def found() -> tuple[Tensor, Tensor]:
        head.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = cross_entropy.summed(head, hidden, targets)
        loss.backward()
        assert head.weight.grad is not None
        return loss.detach(), head.weight.grad.clone()

    chunks(0)
    loss, gradient = found()
    chunks(7)
    same, again = found()
    assert torch.allclose(loss, same, rtol=1e-3)
    assert torch.allclose(gradient, again, rtol=0.05, atol=0.05 * float(gradient.abs().max()))


def test_without_learning_it_is_the_same_number(chunks: Callable[[int], None]) -> None:
    torch.manual_seed(1)
    head, hidden, targets = nn.Linear(16, 258), torch.randn(40, 16), torch.randint(0, 258, (40,))
    with torch.no_grad():
        chunks(0)
        whole = cross_entropy.summed(head, hidden, targets)
        chunks(7)
        assert torch.allclose(cross_entropy.summed(head, hidden, targets), whole, rtol=1e-6)


def test_scores_are_not_kept_for_the_gradients(chunks: Callable[[int], None]) -> None:
    head, hidden, targets = nn.Linear(16, 258), torch.randn(64, 16), torch.randint(0, 258, (64,))
    head.requires_grad_(False)
    hidden.requires_grad_(True)

    chunks(8)
    loss = cross_entropy.summed(head, hidden, targets)
    assert loss.grad_fn is not None
    (outlives,) = loss.grad_fn.saved_tensors  # type: ignore[attr-defined]
    assert outlives.shape == hidden.shape


def test_a_training_in_chunks_ends_where_one_without_does(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, chunks: Callable[[int], None]
) -> None:
    def trained(name: str, rows: int) -> dict[str, Tensor]:
        chunks(rows)
        config = settings(tuning=Full(), lr=1e-3, threads=2)
        model = train(config, make_run(name), model=base, data=data)
        return dict(AutoModelForCausalLM.from_pretrained(model.folder).state_dict())

    whole, parts = trained("whole", 0), trained("parts", 5)
    moved = max(float((whole[name] - parts[name]).abs().max()) for name in whole)
    assert 0 < moved < 1e-4
