"""What does not go together is an error before anything runs; what does is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from llmops_core.settings import Part
from llmops_lightning.capabilities import RULES, Machine, problems
from llmops_lightning.config import LightningTrain, Lora, Seq2seq, SingleStrategy

Settings = Callable[..., LightningTrain]


@dataclass(frozen=True)
class Known(Machine):
    """A machine as it is told."""

    nvidia: bool = False
    apple: bool = False
    computes_bf16: bool = False
    modules: tuple[str, ...] = ()

    def has(self, module: str) -> bool:
        return module in self.modules


PLAIN = Known()
SERVER = Known(nvidia=True, modules=("bitsandbytes",))


def gpu(**changes: Any) -> dict[str, Any]:
    return {"strategy": Part("train/strategy", "single", SingleStrategy(accelerator="gpu")), **changes}


def auto(**changes: Any) -> dict[str, Any]:
    return {"strategy": Part("train/strategy", "single", SingleStrategy()), **changes}


BROKEN = [
    (gpu(), PLAIN, "strategy.accelerator", "there is no NVIDIA GPU here"),
    (auto(tuning=Lora(quantise="nf4")), PLAIN, "tuning.quantise", "need an NVIDIA GPU"),
    ({"tuning": Lora(quantise="nf4")}, SERVER, "tuning.quantise", "need an NVIDIA GPU"),
    (gpu(tuning=Lora(quantise="nf4")), Known(nvidia=True), "tuning.quantise", "bitsandbytes"),
    (gpu(tuning=Lora(quantise="nf4", merge=True)), SERVER, "tuning.merge", "does not answer the same"),
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
