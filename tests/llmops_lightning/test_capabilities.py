"""What does not go together is an error before anything runs; what does is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from llmops_core.settings import Part
from llmops_lightning.capabilities import RULES, problems
from llmops_lightning.choices import OLDER, Machine
from llmops_lightning.config import (
    Ddp,
    Fsdp,
    Full,
    LightningTrain,
    Lora,
    Seq2seq,
    SingleStrategy,
    Zero2,
    Zero3,
)

Settings = Callable[..., LightningTrain]


@dataclass(frozen=True)
class Known(Machine):
    """A machine as it is told."""

    nvidia: bool = False
    apple: bool = False
    computes_bf16: bool = False
    computes_fp8: bool = True
    compiles: bool = True
    reads_disks_ahead: bool = True
    modules: tuple[str, ...] = ()

    def has(self, module: str) -> bool:
        return module in self.modules


PLAIN = Known()
SERVER = Known(nvidia=True, modules=("bitsandbytes", "flash_attn", "torchao", "triton"))
BARE_SERVER = Known(nvidia=True)
MAC = Known(apple=True, computes_bf16=True, modules=("bitsandbytes",))
FP8: dict[str, Any] = {"precision": "fp8", "compile": True}


def gpu(**changes: Any) -> dict[str, Any]:
    return {"strategy": Part("train/strategy", "single", SingleStrategy(accelerator="gpu")), **changes}


def auto(**changes: Any) -> dict[str, Any]:
    return {"strategy": Part("train/strategy", "single", SingleStrategy()), **changes}


FSDP = Part("train/strategy", "fsdp", Fsdp(processes=2))
DDP = Part("train/strategy", "ddp", Ddp(processes=2))
ZERO = Part("train/strategy", "deepspeed_zero2", Zero2(processes=2))


def zero_3(**chosen: Any) -> dict[str, Any]:
    return {"strategy": Part("train/strategy", "deepspeed_zero3", Zero3(**chosen))}


def spread(strategy: Part, **changes: Any) -> dict[str, Any]:
    return {"strategy": strategy, **changes}


BROKEN = [
    (gpu(), PLAIN, "strategy.accelerator", "there is no NVIDIA GPU here"),
    ({"tuning": Lora(quantise="nf4")}, SERVER, "tuning.quantise", "which this processor has not"),
    (auto(tuning=Lora(quantise="nf4")), MAC, "tuning.quantise", "not been tried on an Apple GPU"),
    (spread(FSDP, tuning=Lora(quantise="nf4")), SERVER, "tuning.quantise", "not divided among processes"),
    (spread(ZERO, tuning=Lora(quantise="nf4")), SERVER, "tuning.quantise", "not divided among processes"),
    (gpu(tuning=Lora(quantise="nf4"), compile=True), SERVER, "tuning.quantise", "not been tried in compiled"),
    (gpu(tuning=Lora(quantise="nf4")), Known(nvidia=True), "tuning.quantise", "bitsandbytes"),
    (gpu(tuning=Lora(quantise="nf4", merge=True)), SERVER, "tuning.merge", "does not answer the same"),
    (
        spread(Part("train/strategy", "fsdp", Fsdp(offload="cpu"))),
        PLAIN,
        "strategy.offload",
        "memory already",
    ),
    (zero_3(offload="cpu"), PLAIN, "strategy.offload", "memory already"),
    (zero_3(offload_weights="cpu"), PLAIN, "strategy.offload_weights", "memory already"),
    (zero_3(offload_weights="nvme"), SERVER, "strategy.nvme_path", "nothing says where"),
    (zero_3(offload_weights="nvme", nvme_path="/fast"), SERVER, "strategy.offload_weights", "adapters"),
    (zero_3(offload="cpu", nvme_path="/fast"), SERVER, "strategy.nvme_path", "it has no effect"),
    (
        zero_3(offload="nvme", nvme_path="/fast"),
        replace(SERVER, reads_disks_ahead=False),
        "strategy.offload",
        "needs libaio",
    ),
    (spread(ZERO, threads=2), SERVER, "threads", "share weights or gradients"),
    ({"precision": "bf16"}, PLAIN, "precision", "no bf16"),
    ({"tuning": Lora(frozen="bf16")}, PLAIN, "tuning.frozen", "no bf16"),
    ({"tuning": Lora(frozen="bf16", merge=True)}, SERVER, "tuning.merge", "over rounded weights"),
    (
        {"batching": "packs", "objective": Part("train/objective", "seq2seq", Seq2seq())},
        PLAIN,
        "batching",
        "cannot share a row",
    ),
    ({"pack_length": 64}, PLAIN, "pack_length", "no effect"),
    ({"pack_length": 64, "max_length": 65, "batching": "packs"}, PLAIN, "pack_length", "longest row"),
    ({"patience": 2}, PLAIN, "patience", "nothing is validated on the way"),
    ({"patience": 2, "validate_every": 1, "validation_rows": 0}, PLAIN, "patience", "no rows"),
    ({"keep": "best", "validation_rows": 0}, PLAIN, "keep", "no rows to validate on"),
    (spread(ZERO, compile=True), SERVER, "compile", "share weights or gradients"),
    (spread(FSDP, compile=True), SERVER, "compile", "share weights or gradients"),
    (auto(compile=True), MAC, "compile", "not been tried on an Apple GPU"),
    ({"compile": True}, Known(compiles=False), "compile", "compiled with a C++ compiler"),
    (gpu(compile=True), BARE_SERVER, "compile", "triton, not installed"),
    ({"compile": True, "threads": 2}, PLAIN, "threads", "one after another"),
    ({"optimizer": "adamw8bit"}, PLAIN, "optimizer", "needs bitsandbytes"),
    (spread(FSDP, optimizer="adamw8bit"), SERVER, "optimizer", "whole state in each process"),
    (spread(ZERO, optimizer="adamw8bit"), SERVER, "optimizer", "whole state in each process"),
    (auto(optimizer="adamw8bit"), MAC, "optimizer", "not been tried on an Apple GPU"),
    ({"attention": "flex"}, SERVER, "attention", "on an NVIDIA GPU only"),
    (auto(attention="flash"), MAC, "attention", "on an NVIDIA GPU only"),
    (gpu(attention="flash", precision="bf16"), BARE_SERVER, "attention", "flash_attn) is not installed"),
    (gpu(attention="flash"), SERVER, "attention", "does not compute in fp32"),
    (
        gpu(attention="flex", objective=Part("train/objective", "seq2seq", Seq2seq())),
        SERVER,
        "attention",
        "models with an encoder",
    ),
    (FP8, SERVER, "precision", "fp8 needs an NVIDIA GPU"),
    (gpu(**FP8), replace(SERVER, computes_fp8=False), "precision", "this GPU has no fp8"),
    (gpu(**FP8), replace(SERVER, modules=("triton",)), "precision", "needs torchao"),
    (gpu(precision="fp8"), SERVER, "precision", "without compiled layers"),
    (spread(FSDP, **FP8), SERVER, "precision", "spread over processes"),
    (spread(ZERO, **FP8), SERVER, "precision", "spread over processes"),
    (gpu(**FP8, tuning=Lora(quantise="nf4")), SERVER, "precision", "multiplied in bf16"),
]


@pytest.mark.parametrize(("changes", "machine", "field", "what"), BROKEN)
def test_what_does_not_go_together_is_a_problem_of_its_field(
    settings: Settings, changes: dict[str, Any], machine: Machine, field: str, what: str
) -> None:
    found = list(problems(settings(**changes), "tune", machine))
    assert any(problem.where == f"tune.{field}" and what in problem.what for problem in found)
    assert all(problem.remedy for problem in found)


GOOD: list[tuple[dict[str, Any], Machine]] = [
    ({}, PLAIN),
    (auto(), SERVER),
    (gpu(tuning=Lora(quantise="nf4")), SERVER),
    ({"tuning": Lora(merge=True, dora=True)}, PLAIN),
    ({"precision": "bf16"}, Known(computes_bf16=True)),
    (gpu(tuning=Lora(frozen="bf16")), SERVER),
    (gpu(precision="bf16"), SERVER),
    ({"batching": "packs", "pack_length": 64, "max_length": 64, "recompute": True}, PLAIN),
    ({"patience": 2, "validate_every": 1, "keep": "best"}, PLAIN),
    ({"tuning": Lora(quantise="nf4")}, Known(computes_bf16=True, modules=("bitsandbytes",))),
    (spread(DDP, tuning=Lora(quantise="nf4"), optimizer="adamw8bit"), SERVER),
    ({"optimizer": "adamw8bit"}, Known(modules=("bitsandbytes",))),
    ({"compile": True, "threads": 1, "attention": "eager"}, PLAIN),
    (spread(FSDP, precision="bf16", attention="flash", batching="packs"), SERVER),
    (spread(DDP, compile=True, precision="bf16", attention="flash", batching="packs"), SERVER),
    ({**zero_3(offload="nvme", offload_weights="nvme", nvme_path="/fast"), "tuning": Full()}, SERVER),
    (zero_3(offload="nvme", offload_weights="cpu", nvme_path="/fast"), SERVER),
    (spread(ZERO, threads=1, recompute=True, neftune=5.0, tuning=Lora(dora=True, merge=True)), PLAIN),
    (spread(ZERO, precision="bf16", attention="flex", batching="packs"), SERVER),
    (gpu(**FP8, attention="flash"), SERVER),
    (spread(DDP, **FP8, tuning=Full(), optimizer="adamw8bit"), SERVER),
]


@pytest.mark.parametrize(("changes", "machine"), GOOD)
def test_what_goes_together_is_no_problem(
    settings: Settings, changes: dict[str, Any], machine: Machine
) -> None:
    assert list(problems(settings(**changes), "train", machine)) == []


def test_a_step_that_runs_elsewhere_is_not_judged_by_this_machine(settings: Settings) -> None:
    config = settings(**gpu(tuning=Lora(quantise="nf4"), precision="bf16"))
    assert list(problems(config, "train", PLAIN, here=False)) == []
    merged = replace(config, tuning=Part("train/tuning", "lora", Lora(quantise="nf4", merge=True)))
    assert [problem.where for problem in problems(merged, "train", PLAIN, here=False)] == [
        "train.tuning.merge"
    ]


def test_every_rule_has_a_case_here() -> None:
    asked = {(field, what) for _, _, field, what in BROKEN}
    for rule in RULES:
        if rule.field != "accumulate":
            assert any(field == rule.field and what in rule.what for field, what in asked), rule.what


@pytest.mark.parametrize(
    ("name", "older"),
    [
        ("NVIDIA A100-SXM4-80GB", True),
        ("Tesla V100-SXM2-32GB", True),
        ("Tesla T4", True),
        ("NVIDIA A10G", True),
        ("NVIDIA GeForce RTX 3090", True),
        ("NVIDIA RTX A6000", True),
        ("NVIDIA H100 80GB HBM3", False),
        ("NVIDIA H200", False),
        ("NVIDIA L40S", False),
        ("NVIDIA L4", False),
        ("NVIDIA GeForce RTX 4090", False),
        ("NVIDIA RTX 6000 Ada Generation", False),
        ("NVIDIA B200", False),
    ],
)
def test_older_gpus_are_told_by_their_names(name: str, older: bool) -> None:
    assert bool(OLDER.search(f"Model: \t\t {name}\nIRQ:   \t\t 50\n")) is older
