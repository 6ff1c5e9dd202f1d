"""The settings of docs/how-to/train-faster.md exist, go together, and are right where they are meant for."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields, replace
from typing import Any

import pytest
import yaml

from llmops_core.check import check
from llmops_core.plugins import load
from llmops_core.settings import Part
from llmops_lightning.capabilities import problems
from llmops_lightning.choices import Machine
from llmops_lightning.config import LightningTrain, Lora, SingleStrategy
from tests.docs.pages import ROOT, blocks

PAGE = "how-to/train-faster.md"
COMMANDS = [
    shlex.split(line.removeprefix("$ "))
    for block in blocks(PAGE)
    if block.language == "console"
    for line in block.text.splitlines()
]


class Server(Machine):
    """One with a recent GPU and everything installed."""

    nvidia, apple, computes_bf16, computes_fp8, compiles = True, False, True, True, True  # type: ignore[assignment]

    def has(self, module: str) -> bool:
        return True


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_recipe_of_a_command_is_right(words: list[str]) -> None:
    assert words[:2] == ["llmops", "check"]
    assert check(words[2], words[3:], load(), modules=False).step("train")


def on_gpu(**said: Any) -> LightningTrain:
    tuning = Lora(**said.pop("tuning", {}))
    return LightningTrain(
        tuning=Part("train/tuning", "lora", tuning),
        strategy=Part("train/strategy", "single", SingleStrategy(accelerator="gpu")),
        **said,
    )


def test_the_block_for_a_gpu_goes_together_and_so_does_every_row_of_the_table() -> None:
    (block,) = (one for one in blocks(PAGE) if one.language == "yaml")
    said = yaml.safe_load(block.text)["train"]
    config = on_gpu(**said)
    assert list(problems(config, "train", Server())) == []
    rows = re.findall(r"^\| `([\w.]+): (\w+)` \|", (ROOT / "docs" / PAGE).read_text(), re.MULTILINE)
    assert len(rows) == 10
    names = {field.name for field in fields(LightningTrain)} | {f"tuning.{one.name}" for one in fields(Lora)}
    for name, written in rows:
        value = yaml.safe_load(written)
        assert name in names, name
        if name == "tuning.quantise":
            changed = replace(on_gpu(tuning={"quantise": value}), precision="bf16")
        elif name.startswith("tuning."):
            changed = on_gpu(tuning={name.removeprefix("tuning."): value})
        else:
            changed = replace(config, **{name: value})
        assert list(problems(changed, "train", Server())) == [], name
