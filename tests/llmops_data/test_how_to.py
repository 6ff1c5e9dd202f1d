"""What docs/how-to/make-a-dataset.md shows is right: its recipes check, its step runs."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmops_core.check import check
from llmops_core.plugins import load
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_data.config import DialogueData
from llmops_data.dialogues import dialogues
from llmops_data.rows import Row

from .conftest import loading

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "make-a-dataset.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
NAMED = ("tickets.csv.gz", "helpdesk.sqlite", "pages", "benchmark.jsonl")


@pytest.mark.parametrize("text", [content for language, content in BLOCKS if language == "yaml"])
def test_a_recipe_of_the_page_is_right(text: str, tmp_path: Path) -> None:
    for name in NAMED:
        (tmp_path / name).touch()
    (tmp_path / "recipe.yaml").write_text(f"defaults:\n  - base\n  - _self_\n\n{text}")
    found = check(str(tmp_path / "recipe.yaml"), (), load(), modules=False)
    assert [step.name for step in found.steps] == ["data"]


def test_the_step_of_the_page_runs(run: StepRun, tmp_path: Path) -> None:
    [text] = [content for language, content in BLOCKS if language == "python"]
    names: dict[str, Any] = {
        "Shout": Any,
        "StepRun": StepRun,
        "Sequence": Sequence,
        "Iterator": Iterator,
        "Row": Row,
        "replace": replace,
        "__name__": __name__,
    }
    exec(compile(text, str(PAGE), "exec"), names)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a?", "completion": "b"}))
    config = DialogueData(source=str(tmp_path / "rows.jsonl"), steps={"shout": Part("data/step", "shout")})
    found = dialogues(config, dataclasses.replace(run, loader=loading(lambda part: names["shout"])))
    rows = [row for split in found.rows for row in found.read(split)]
    assert [one["content"] for one in rows[0]["messages"]] == ["A?", "B"]
    assert found.funnel[1]["note"] == "1 changed"
