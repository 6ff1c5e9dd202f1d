"""Each way of tuning: what it writes, and that it is the model that was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.config import Full, LightningTrain, Lora
from llmops_lightning.export import answers, expect_same
from llmops_lightning.train import train
from llmops_lightning.tuning import LoraTuning
from llmops_lightning.weights import load_network

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def last_loss(model: Model) -> float:
    return curve(model.folder)[-1]["validation_loss"]


def first_loss(model: Model) -> float:
    return curve(model.folder)[0]["validation_loss"]


def test_full_tuning_writes_whole_weights_with_tied_ones_once(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuned = train(settings(tuning=Full(), lr=1e-3), make_run(), model=base, data=data)
    with safe_open(tuned.folder / "model.safetensors", "pt") as weights:
        assert "lm_head.weight" not in weights.keys()  # noqa: SIM118
    for file in tuned.folder.iterdir():
        assert str(base.folder).encode() not in file.read_bytes(), file.name
    again = train(settings(tuning=Full(), lr=1e-3), make_run("again"), model=tuned, data=data)
    assert first_loss(again) == last_loss(tuned)


@pytest.mark.parametrize(
    "tuning",
    [Lora(r=4), Lora(r=4, rslora=True), Lora(r=4, dora=True), Lora(r=4, targets=("all-linear",))],
    ids=["lora", "rslora", "dora", "all-linear"],
)
def test_what_follows_starts_from_what_an_adapter_learned(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, tuning: Lora
) -> None:
    adapter = train(settings(tuning=tuning, lr=0.02), make_run("adapter"), model=base, data=data)
    assert last_loss(adapter) < first_loss(adapter) - 0.02
    told: list[str] = []
    run = make_run("stacked", tell=lambda event: told.append(getattr(event, "text", "")))
    stacked = train(settings(lr=0.02), run, model=adapter, data=data)
    assert any("to be served it needs tuning.merge=true" in line for line in told)
    full = train(settings(tuning=Full(), max_steps=1), make_run("full"), model=stacked, data=data)
    assert first_loss(stacked) == pytest.approx(last_loss(adapter), abs=1e-4)
    assert first_loss(full) == pytest.approx(last_loss(stacked), abs=1e-4)
    assert (stacked.base, full.base) == (adapter, stacked)


def test_the_variants_of_an_adapter_are_what_peft_calls_so(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuning = Lora(r=4, rslora=True, dora=True)
    tuned = train(settings(tuning=tuning, max_steps=1), make_run(), model=base, data=data)
    told = json.loads((tuned.folder / "adapter_config.json").read_text())
    assert (told["use_rslora"], told["use_dora"]) == (True, True)


def test_merging_writes_a_model_that_answers_as_the_adapter_does(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    told: list[str] = []
    run = make_run(tell=lambda event: told.append(getattr(event, "text", "")))
    merged = train(settings(tuning=Lora(r=4, merge=True), lr=0.02), run, model=base, data=data)
    adapter = train(settings(lr=0.02), make_run("adapter"), model=base, data=data)
    assert not (merged.folder / "adapter_config.json").exists()
    beside = merged.folder / "adapter" / "adapter_model.safetensors"
    assert beside.read_bytes() == (adapter.folder / beside.name).read_bytes()
    with safe_open(merged.folder / "model.safetensors", "pt") as weights:
        assert "lm_head.weight" not in weights.keys()  # noqa: SIM118
    whole = AutoModelForCausalLM.from_pretrained(merged.folder)
    assert torch.allclose(answers(whole), answers(load_network(adapter)), atol=1e-4)
    assert any("answer as the trained ones" in line for line in told)


def test_merging_into_weights_that_are_tied_is_refused(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuning = Lora(r=4, merge=True, targets=("embed_tokens",))
    with pytest.raises(StepError, match=r"(merging|saving) moved log-probabilities by .*: refused"):
        train(settings(tuning=tuning, lr=0.1), make_run(), model=base, data=data)


def test_answers_that_are_no_numbers_are_refused(make_run: MakeRun) -> None:
    with pytest.raises(StepError, match="moved log-probabilities by nan"):
        expect_same(torch.zeros(2), torch.tensor([0.0, float("nan")]), "saving", make_run())


@pytest.mark.parametrize("targets", [("query",), ("q_proj", "query")])
def test_a_target_that_no_module_has_is_answered_with_those_there_are(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, targets: tuple[str, ...]
) -> None:
    with pytest.raises(StepError, match=r"no module is called query\..* q_proj"):
        train(settings(tuning=Lora(targets=targets)), make_run(), model=base, data=data)


def test_all_linear_leaves_the_head_alone(base: Model, make_run: MakeRun) -> None:
    network: Any = LoraTuning(Lora(targets=("all-linear",))).apply(load_network(base))
    taken = {name.rsplit(".", 1)[-1] for name in network.base_model.targeted_module_names}
    assert taken == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_only_what_is_tuned_learns(base: Model, data: Dataset, make_run: MakeRun, settings: Settings) -> None:
    counted: list[float] = []

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Metric) and event.name == "trainable_parameters":
            counted.append(event.value)

    train(settings(tuning=Lora(r=4), max_steps=1), make_run("lora", tell=tell), model=base, data=data)
    train(settings(tuning=Full(), max_steps=1), make_run("full", tell=tell), model=base, data=data)
    # r x (inputs + outputs) for q, k, v and o of two layers; keys and values have half the heads
    assert counted == [2 * 4 * (64 + 48 + 48 + 64), base.parameters]


def test_adapters_stay_fp32_over_weights_that_are_frozen_in_bf16(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuning = Lora(r=4, frozen="bf16")
    tuned = train(settings(tuning=tuning, lr=0.02), make_run(), model=base, data=data)
    with safe_open(tuned.folder / "adapter_model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float32}  # noqa: SIM118
    plain = train(settings(lr=0.02), make_run("plain"), model=base, data=data)
    assert last_loss(tuned) == pytest.approx(last_loss(plain), abs=0.02)
    assert last_loss(tuned) < first_loss(tuned) - 0.02
    again = train(settings(tuning=tuning, max_steps=1), make_run("again"), model=tuned, data=data)
    assert first_loss(again) == pytest.approx(last_loss(tuned), abs=0.02)


def test_an_adapter_is_not_added_into_weights_of_four_bits(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    adapter = train(settings(max_steps=1), make_run(), model=base, data=data)
    with pytest.raises(StepError, match="cannot be added into 4-bit weights"):
        load_network(adapter, quantization_config="nf4")
