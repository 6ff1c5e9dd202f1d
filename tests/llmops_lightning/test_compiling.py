"""Compiled layers: the gradients of eager ones, compiled a few times and not for each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from transformers import AutoModelForCausalLM

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.compiling import compiled_layers
from llmops_lightning.config import Full, LightningTrain, Lora
from llmops_lightning.network_modes import recompute
from llmops_lightning.train import train
from llmops_lightning.tuning import FullTuning, LoraTuning

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]
Gradients = Sequence[dict[str, torch.Tensor]]

# torch's own, at its first compilation
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

SHAPES = ((2, 40), (2, 33), (3, 20), (1, 64), (4, 12), (1, 30))
"""Rows and tokens, as buckets have them."""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are traced and guarded as ever, but no machine code is made of them, which takes a minute."""
    compile = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: compile(self, backend="eager", **how))


def gradients(network: nn.Module, packed: bool) -> Gradients:
    chance, found = torch.Generator().manual_seed(0), []
    for rows, width in SHAPES:
        ids = torch.randint(0, 200, (rows, width), generator=chance)
        batch = {"ids": ids, "labels": ids}
        if packed:
            third = width // 3
            batch["positions"] = torch.tensor([[*range(third), *range(width - third)]] * rows)
        network.zero_grad()
        causal.loss(network, batch, head_waits=True).backward()
        found.append({name: one.grad for name, one in network.named_parameters() if one.grad is not None})
        network.zero_grad(set_to_none=True)
    return found


def expect_same(one: Gradients, other: Gradients) -> None:
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys() and len(left) > 0
        largest = max(float(gradient.abs().max()) for gradient in left.values())
        assert largest > 1e-2
        for name, gradient in left.items():
            assert torch.allclose(gradient, right[name], atol=1e-5 * largest, rtol=1e-4), name


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("tuning", "packed"), [("full", True), ("lora", False), ("recomputed lora", True)], ids=str
)
def test_compiled_layers_have_the_gradients_of_eager_ones_without_compiling_for_each_shape(
    base: Model, make_run: MakeRun, tuning: str, packed: bool
) -> None:
    torch.manual_seed(3)
    chosen: Any = FullTuning() if tuning == "full" else LoraTuning(Lora(r=4))
    network = chosen.apply(AutoModelForCausalLM.from_pretrained(base.folder)).train()
    for name, one in network.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(one, std=0.1)
    if tuning.startswith("recomputed"):
        recompute(network, random=False)
    eager = gradients(network, packed)
    with compiled_layers(network, make_run(), one_shape=False):
        compiled = gradients(network, packed)
        made = counters["stats"]["unique_graphs"]
    expect_same(compiled, eager)
    # for one row and for several; with adapters also for the first layer, whose input needs no gradient
    assert 1 <= made <= (2 if tuning == "full" else 4)
    assert not counters["graph_break"]
    gradients(network, packed)
    assert counters["stats"]["unique_graphs"] == made, "outside, nothing is compiled"


def test_a_training_of_compiled_layers_ends_as_one_of_eager_layers(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    """With the real compiler: needs g++."""
    from json import loads

    plain = settings(tuning=Full(), lr=1e-3, max_steps=3, validation_rows=0)
    eager = train(plain, make_run("eager"), model=base, data=data)
    made = train(
        settings(tuning=Full(), lr=1e-3, max_steps=3, validation_rows=0, compile=True),
        make_run("compiled"),
        model=base,
        data=data,
    )
    assert 1 <= counters["stats"]["unique_graphs"] <= 2
    curves = [(one.folder / "training.jsonl").read_text().splitlines() for one in (eager, made)]
    losses = [[loads(line)["loss"] for line in curve] for curve in curves]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_layers_that_cannot_be_told_apart_are_not_compiled(make_run: MakeRun) -> None:
    with (
        pytest.raises(StepError, match="layers cannot be told apart"),
        compiled_layers(nn.Sequential(nn.Linear(2, 2)), make_run(), one_shape=True),
    ):
        pass


def test_a_compiler_that_fails_is_told_with_what_it_said(
    base: Model, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise OSError("the disk is full")

    compile = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: compile(self, backend=broken, **how))
    network = AutoModelForCausalLM.from_pretrained(base.folder)
    ids = torch.ones(2, 8, dtype=torch.long)
    with (
        pytest.raises(StepError, match=r"layers could not be compiled: .*the disk is full"),
        compiled_layers(network, make_run(), one_shape=True),
    ):
        network(input_ids=ids, use_cache=False)
