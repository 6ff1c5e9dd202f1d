"""Another plugin's preference objective trains as ours do: the trainer knows nothing of pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmops_core.artifacts import Dataset, Model
from llmops_core.manifest import all_runs
from llmops_core.preview import Previewing, preview
from llmops_lightning.plan import Plan
from llmops_lightning.show_batch import show_batch
from llmops_lightning.weights import load_network, load_tokenizer
from tests.conftest import Project
from tests.llmops_lightning import margin_plugin

RECIPE = """\
defaults:
  - base
  - data: preferences
  - model: local
  - train: lightning
  - _self_
data: {{source: pairs.jsonl}}
model: {{path: {model}}}
train:
  objective: margin
  tuning: {{r: 8, targets: [all-linear]}}
  strategy: {{accelerator: cpu}}
  batch_size: 4
  accumulate: 2
  epochs: 4
  lr: 0.02
"""


@pytest.fixture
def pairs(project: Project, base: Model) -> Project:
    """A folder with pairs: polite answers are chosen, rude ones rejected."""
    rows = [
        {
            "prompt": f"Where do I find item {n * 37 % 101} of {chr(97 + n % 26)}?",
            "chosen": f"Thank you for asking, on shelf {n}.",
            "rejected": f"Go away! {n} times no!",
        }
        for n in range(48)
    ]
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.write("recipe.yaml", RECIPE.format(model=base.folder))
    project.extra = [("acme", margin_plugin)]
    return project


def test_pairs_are_planned_trained_and_told_apart_better_on_rows_that_were_not_seen(pairs: Project) -> None:
    run = pairs.run()
    tuned, data = (run.artifact(run.step(name)["output"]) for name in ("train", "data"))
    assert isinstance(tuned, Model)
    assert isinstance(data, Dataset)
    steps = list(Plan(tuned.folder).steps())
    assert all(step.loss_tokens == sum(map(len, step.batches)) for step in steps)  # a pair weighs one

    objective = margin_plugin.MarginObjective(margin_plugin.Margin(), load_tokenizer(tuned))
    batch = objective.collate([objective.encode(row, 256) for row in data.read("validation")])
    with torch.no_grad():
        before = margin_plugin.margins(AutoModelForCausalLM.from_pretrained(base_of(tuned)), batch)
        after = margin_plugin.margins(load_network(tuned), batch)
    assert float(after.mean() - before.mean()) > 0.5
    assert float((after > 0).float().mean()) > 0.8
    curve = [json.loads(line) for line in (tuned.folder / "training.jsonl").read_text().splitlines()]
    validated = [row["validation_loss"] for row in curve if "validation_loss" in row]
    assert validated[-1] < 0.8 * validated[0]


def base_of(tuned: Model) -> Path:
    assert tuned.base is not None
    return tuned.base.folder


def test_both_answers_of_a_pair_are_shown_and_a_wrong_shape_is_told(pairs: Project) -> None:
    recipe = pairs.check()
    with preview(recipe, recipe.step("train"), Previewing(pairs.plugins(), pairs.store)) as found:
        config, inputs = recipe.step("train").config, found.inputs
        (one,) = show_batch(config, found.run, **inputs, count=1).examples  # type: ignore[arg-type]
    text = one.text().plain
    assert text.count("⟦") == 2
    assert "⟦Thank you" in text.partition("\n---\n")[0]
    assert "⟦Go away!" in text.partition("\n---\n")[2]
    with pytest.raises(
        Exception, match="have the shape preference, and the objective sft takes messages, qa"
    ):
        pairs.run("train.objective=sft")
    assert all_runs(pairs.store)[0].status == "failed"
