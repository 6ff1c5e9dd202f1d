"""The commands that look at a training beforehand, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmops_core.artifacts import Model
from llmops_core.cli import cli
from llmops_core.errors import LlmopsError
from llmops_core.manifest import all_runs
from llmops_core.store import Store
from llmops_lightning.show_batch import visible
from llmops_lightning.trial import Row, Trial, Tried

Ask = Callable[..., Result]

RECIPE = """\
defaults:
  - base
  - data: local
  - model: local
  - train: lightning
  - _self_
data: {{source: rows.jsonl, steps: {{normalise: {{}}}}}}
model: {{path: {model}}}
train: {{batch_size: 2, accumulate: 2, max_length: 60, strategy: {{accelerator: cpu}}, validation_rows: 0}}
"""


@pytest.fixture
def ask(base: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Type a command in a folder with a recipe of the tiny model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMOPS_STORE", raising=False)
    rows = [{"prompt": f"what is {n}?", "completion": f"it is {n * n}" + "!" * n} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(RECIPE.format(model=base.folder))

    def asking(*words: str) -> Result:
        return CliRunner().invoke(cli, words, prog_name="llmops")

    return asking


def refused(result: Result) -> str:
    assert isinstance(result.exception, LlmopsError), result.output
    return str(result.exception)


def test_a_batch_is_shown_without_training_and_again_without_a_run(ask: Ask, tmp_path: Path) -> None:
    first = ask("show", "batch", "./r.yaml", "--count", "3")
    assert first.exception is None, first.output
    assert first.stdout.count("tokens are learned\n") + first.stdout.count("is cut off\n") == 3
    assert first.stdout.count("⟦it is ") == 3
    assert "\x1b" not in first.stdout
    (run,) = all_runs(Store(tmp_path / ".llmops"))
    assert [step["name"] for step in run.document["steps"]] == ["data", "model"]
    second = ask("show", "batch", "./r.yaml", "--count", "3", "train.lr=1e-5")
    assert second.stdout == first.stdout
    assert len(all_runs(Store(tmp_path / ".llmops"))) == 1
    assert list((tmp_path / ".llmops" / "tmp").iterdir()) == []


def test_as_json_it_says_of_each_token_whether_it_is_learned_and_what_was_cut(
    ask: Ask, tmp_path: Path
) -> None:
    found = json.loads(
        ask("show", "batch", "./r.yaml", "--count", "9", "--json", "train.max_length=40").stdout
    )
    store = Store(tmp_path / ".llmops")
    data: Any = store.open(all_runs(store)[0].step("data")["output"])
    assert (found["rows"], found["max_length"], len(found["shown"])) == (data.rows["train"], 40, 9)
    assert found["cut"] > 0
    for one in found["shown"]:
        assert one["tokens"] <= 40
        assert one["cut"] == (one["tokens"] == 40)
        answer = "".join(piece["text"] for piece in one["pieces"] if piece["learned"])
        assert answer.startswith("it is ")
        assert one["learned"] == len(answer.removesuffix("<|end|>")) + answer.endswith("<|end|>")


def test_colour_is_only_for_terminals_that_want_it(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m⟦" in ask("show", "batch", "./r.yaml", "--count", "1").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    plain = ask("show", "batch", "./r.yaml", "--count", "1").stdout
    assert "\x1b[32m" not in plain
    assert "⟦it is " in plain


def test_sizes_are_told_as_they_are_tried_and_then_what_to_write(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(trial: Trial) -> Tried:
        assert trial.limit == 2.5e9
        return Tried(Row("{}", 60, 1), trial.config.batch_size < 4, 2e9, 1.0)

    monkeypatch.setattr("llmops_lightning.trial.tried", attempt)
    said = ask("show", "fit", "./r.yaml", "--memory", "2.5", "train.accumulate=4")
    assert said.exception is None, said.output
    title, *rows, largest, _ = said.stdout.splitlines()
    assert title.split()[:2] == ["batch_size", "accumulate"]
    assert [row.split()[:4] for row in rows] == [["2", "4", "2.0", "GB"], ["4", "2", "out", "of"]]
    assert largest == "largest: train.batch_size=2 train.accumulate=4"
    found = json.loads(
        ask("show", "fit", "./r.yaml", "--memory", "2.5", "train.accumulate=4", "--json").stdout
    )
    assert [one["fits"] for one in found["tried"]] == [True, False]
    assert found["largest"] == "train.batch_size=2 train.accumulate=4"


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert visible("a\x1b[31m\n\tb\u009bc\r") == "a\\x1b[31m\n\tb\\x9bc\\x0d"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["~train"], "r trains nothing. Add a training: train=lightning."),
        (["train@more=lightning"], "r has several trainings: train, more. Say --step train."),
        (["--step", "tarin"], "r has no training called tarin. There are: train."),
        (["train.max_length=300"], "sees 256 tokens at most. Set train.max_length=256 or less."),
    ],
)
def test_what_cannot_be_shown_is_told_with_what_to_do(ask: Ask, words: Sequence[str], told: str) -> None:
    assert told in refused(ask("show", "batch", "./r.yaml", *words))
