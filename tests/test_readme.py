"""The README tells the flow as the code has it."""

from __future__ import annotations

import re
from pathlib import Path

from llmops_core.stages import STAGES, Slot

README = Path(__file__).resolve().parent.parent / "README.md"


def taken(slot: Slot) -> str:
    """A slot as the flow writes it: what takes the name of a stage, and ? for what may be absent."""
    return f"{slot.name}?" if slot.optional else slot.name


def test_the_flow_in_the_readme_is_the_table_of_stages() -> None:
    text = README.read_text(encoding="utf-8")
    lines = re.findall(r"^(\w+) +\((.*?)\) +-> (\w+) +(.*)$", text, re.MULTILINE)
    assert [(name, takes, gives) for name, takes, gives, _ in lines] == [
        (stage.name, ", ".join(taken(slot) for slot in stage.takes), stage.gives) for stage in STAGES
    ]


def test_every_folder_of_the_tree_is_there_and_told() -> None:
    text = README.read_text(encoding="utf-8")
    told = set(re.findall(r"^(\w+)/ +\w", text, re.MULTILINE))
    here = {
        path.name
        for path in README.parent.iterdir()
        if path.is_dir() and not path.name.startswith((".", "_")) and path.name not in ("build", "dist")
    }
    assert told == here
