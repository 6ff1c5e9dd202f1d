"""Fine-tunes a model on a data set."""

from __future__ import annotations

import hashlib
import json
import platform
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import DataError, StepError
from llmops_core.step import StepRun
from llmops_lightning import checkpoints
from llmops_lightning.batches import OptimizerStep, StepLoader, plan_steps
from llmops_lightning.checkpoints import Checkpoint
from llmops_lightning.config import LightningTrain
from llmops_lightning.fitting import available_cores, fit
from llmops_lightning.gradients import Threads, one_thread
from llmops_lightning.module import Training
from llmops_lightning.objective import Batch, Example, Objective
from llmops_lightning.strategy import Strategy
from llmops_lightning.tuning import Tuning
from llmops_lightning.weights import is_adapter, load_network, load_tokenizer

CURVE = "training.jsonl"


def train(config: LightningTrain, run: StepRun, *, model: Model, data: Dataset) -> Model:
    """Tune `model` on the split `train` of `data`; the same inputs and seed give the same bytes.

    Writes what the tuning learned and the curve (training.jsonl: a row for each optimizer step and each
    validation). An interrupted training goes on from its last checkpoint and ends with the same bytes.
    Raises DataError when the data cannot be learned from, StepError when the training goes wrong.
    """
    tuning: Tuning = run.load(config.tuning)(config.tuning.config, run)
    strategy: Strategy = run.load(config.strategy)(config.strategy.config, run)
    _check(model, data, tuning, run)
    with one_thread(), torch.random.fork_rng(devices=()):
        torch.manual_seed(run.seed)
        tokenizer, network = load_tokenizer(model), load_network(model)
        objective: Objective = run.load(config.objective)(
            config.objective.config, run, tokenizer=tokenizer, network=network
        )
        length = min(config.max_length, model.context)
        examples = objective.examples(_sample(data, "train", config.max_rows, run), length, run)
        steps = plan_steps(examples, config.epochs, config.batch_size, config.accumulate, run.seed)
        steps = steps[: config.max_steps]
        torch.manual_seed(run.seed)
        training = Training(tuning.apply(network), objective, config, run)
        training.total = len(steps)
        training.validation = _validation(config, run, data, objective, length)
        run.metric("trainable_parameters", sum(one.numel() for one in training.learning().values()))
        _run(
            training,
            StepLoader(steps, examples, objective),
            strategy,
            tuning,
            _identity(steps, examples, run),
        )
    tuning.save(training.network, tokenizer, model, run.folder)
    _write_curve(run.folder / CURVE, training.rows)
    return Model(
        folder=run.folder,
        name=f"{model.name}-{config.tuning.use}",
        parameters=model.parameters,
        context=model.context,
        base=model,
    )


def _check(model: Model, data: Dataset, tuning: Tuning, run: StepRun) -> None:
    if data.shape != "messages":
        what = f"the data's rows have the shape {data.shape}, and training takes messages"
        raise DataError(what, where=run.step, remedy="Choose a data step that makes messages.")
    if not data.rows.get("train"):
        raise DataError(
            "the data has no rows to train on", where=run.step, remedy="Check the data step's funnel."
        )
    if is_adapter(model) and not tuning.stands_alone:
        raise StepError(
            f"{model.name} is an adapter already, and an adapter over an adapter has no single base",
            where=run.step,
            remedy=f"Train from its base, or set {run.step}.tuning=full, which merges it first.",
        )


def _sample(data: Dataset, split: str, most: int | None, run: StepRun) -> Sequence[Mapping[str, Any]]:
    """A split's rows, or a seeded sample of them in their order."""
    rows = list(data.read(split))
    if most is None or most >= len(rows):
        return rows
    return [rows[at] for at in sorted(random.Random(f"{run.seed} rows").sample(range(len(rows)), most))]


def _validation(
    config: LightningTrain, run: StepRun, data: Dataset, objective: Objective, length: int
) -> Sequence[tuple[Batch, int]]:
    if not config.validation_rows or not data.rows.get("validation"):
        return ()
    rows = _sample(data, "validation", config.validation_rows, run)
    examples = sorted(objective.examples(rows, length, run), key=lambda example: example.length)
    size = config.batch_size
    groups = [examples[at : at + size] for at in range(0, len(examples), size)]
    return [(objective.collate(group), sum(example.weight for example in group)) for group in groups]


def _run(training: Training, loader: StepLoader, strategy: Strategy, tuning: Tuning, identity: str) -> None:
    """Go through the steps that are left, leaving checkpoints."""
    config, run = training.config, training.run
    _resume(training, checkpoints.read(run.scratch, identity))
    loader.start = training.done

    def after_step(training: Training) -> None:
        if training.done % config.checkpoint_every == 0 and training.done < training.total:
            checkpoints.write(run.scratch, _checkpoint(training), identity)

    training.after_step = after_step
    if strategy.at_once and not tuning.dropout and config.precision == "fp32":
        training.threads = Threads(min(config.accumulate, available_cores()), config.threads)
    try:
        fit(training, loader, strategy)
    finally:
        if training.threads is not None:
            training.threads.close()


def _checkpoint(training: Training) -> Checkpoint:
    optimizer: Any = training.optimizers()
    weights = {name: one.detach() for name, one in training.learning().items()}
    return Checkpoint(training.done, weights, optimizer.optimizer.state_dict(), list(training.rows))


def _resume(training: Training, found: Checkpoint | None) -> None:
    if found is None:
        return
    training.run.log(f"going on after optimizer step {found.step} of {training.total}")
    learning = training.learning()
    with torch.no_grad():
        for name, tensor in found.weights.items():
            learning[name].copy_(tensor)
    training.done, training.rows, training.resumed = found.step, list(found.rows), found


def _identity(steps: Sequence[OptimizerStep], examples: Sequence[Example], run: StepRun) -> str:
    """What must be equal for a checkpoint to lead to the same bytes."""
    facts = [steps, examples, run.seed, torch.__version__, platform.machine()]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _write_curve(file: Path, rows: Sequence[Mapping[str, float]]) -> None:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
