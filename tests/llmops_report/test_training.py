"""The loss curve says what its points are, and weighs them by what they are the mean of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Model
from llmops_report.facts import Facts
from llmops_report.training import training


def page(folder: Path, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = Model(folder=folder, name="tuned", parameters=1, context=1)
    monkeypatch.setattr("llmops_report.training.of_kind", lambda facts, kind: [("train", model)])
    facts: Any = Facts
    return "".join(map(str, training(facts)))


def test_the_first_and_last_losses_weigh_steps_by_their_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"step": n, "loss": 1.0 if n % 2 else 4.0, "loss_tokens": 300 if n % 2 else 100} for n in range(40)
    ]
    assert "Training loss went from 1.75 to 1.75 in 39 steps." in page(tmp_path, rows, monkeypatch)
    even = [{"step": row["step"], "loss": row["loss"]} for row in rows]
    shown = page(tmp_path, even, monkeypatch)
    assert "Training loss went from 2.50 to 2.50 in 39 steps." in shown
    assert "every step counting the same" in shown


def test_training_and_validation_are_told_apart_by_what_each_is_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"step": 0, "validation_loss": 3.0}]
    rows += [{"step": n, "loss": 3.0 / n, "loss_tokens": 10.0 * n} for n in (1, 2, 3)]
    shown = page(tmp_path, [*rows, {"step": 3, "validation_loss": 2.0}], monkeypatch)
    for told in (
        "training loss, each step\u2019s rows before it",
        "validation loss, the same held-out rows each time",
        "smoothed, by tokens with loss",
        "The best validation loss was 2",
    ):
        assert told in shown.replace("&#x27;", "\u2019").replace("'", "\u2019"), told
