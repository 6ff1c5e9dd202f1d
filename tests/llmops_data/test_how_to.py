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
from click.testing import CliRunner

from llmops_core.artifacts import Dataset
from llmops_core.check import check
from llmops_core.plugins import load
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_core.store import Store
from llmops_data.commands import data
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
        (tmp_path / name).write_text("something")
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


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / ".llmops")
    store.prepare()
    temporary = store.temporary("test")
    rows = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(5)
    ]
    (temporary / "files" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store.publish(Dataset(folder=temporary / "files", rows={"train": 5}, shape="messages"), temporary)
    typed = [line for language, text in BLOCKS if language == "console" for line in text.splitlines()]
    commands = [line.removeprefix("$ llmops data ").split() for line in typed if "llmops data" in line]
    for words in commands:
        done = CliRunner().invoke(data, words)
        assert done.exit_code == 0, (words, done.output, done.exception)
    assert len(commands) == 5 and "<html" in (tmp_path / "dataset.html").read_text()
