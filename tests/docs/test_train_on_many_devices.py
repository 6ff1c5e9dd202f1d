"""Every command of docs/how-to/train-on-many-devices.md is right; the one for torchrun is run in
tests/llmops_lightning/test_torchrun.py."""

from __future__ import annotations

import shlex

import pytest
import yaml

from llmops_core.check import check
from llmops_core.errors import RecipeError
from llmops_core.plugins import load
from tests.docs.pages import blocks

PAGE = "how-to/train-on-many-devices.md"
COMMANDS = [
    shlex.split(line.removeprefix("$ "))
    for block in blocks(PAGE)
    if block.language == "console"
    for line in block.text.splitlines()
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_recipe_of_a_command_is_right(words: list[str]) -> None:
    assert words[:1] == ["llmops"] and words[1] in ("check", "run")
    recipe = check(words[2], words[3:], load(), modules=False)
    assert recipe.step("train").config.strategy.use in words[3].split("=")


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == 7


def test_what_is_offloaded_needs_only_a_gpu_and_a_disk() -> None:
    (block,) = [one for one in blocks(PAGE) if one.language == "yaml"]
    chosen = yaml.safe_load(block.text)["train"]["strategy"]
    words = [f"train.strategy.{name}={value}" for name, value in chosen.items() if name != "use"]
    try:
        check("quickstart", [f"train/strategy={chosen['use']}", *words], load(), modules=False)
    except RecipeError as error:
        told = {problem.where for problem in error.problems}
        assert told <= {"train.strategy.offload", "train.strategy.offload_weights"}, error
