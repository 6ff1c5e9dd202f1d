"""Every command of docs/how-to/train-on-many-devices.md is right; the one for torchrun is run in
tests/llmops_lightning/test_torchrun.py."""

from __future__ import annotations

import shlex

import pytest

from llmops_core.check import check
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
    assert recipe.step("train").config.strategy.use in ("ddp", "fsdp")


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == 5
