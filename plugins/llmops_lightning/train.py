"""Fine-tunes a model on a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import DataError, StepError
from llmops_core.step import StepRun
from llmops_lightning.assisting import assist, brief
from llmops_lightning.batches import StepLoader
from llmops_lightning.config import LightningTrain
from llmops_lightning.crew import crew, expect_even, joined
from llmops_lightning.encoding import Encoded, Encoder
from llmops_lightning.estimate import LENGTH
from llmops_lightning.gradients import one_thread
from llmops_lightning.identity import identity
from llmops_lightning.memory import Need, is_out_of_memory, out_of_memory
from llmops_lightning.module import Training
from llmops_lightning.objective import Objective
from llmops_lightning.plan import Plan, write_plan
from llmops_lightning.planner import Schedule
from llmops_lightning.running import run_steps
from llmops_lightning.strategy import Strategy
from llmops_lightning.team import at_address
from llmops_lightning.tuning import Tuning
from llmops_lightning.validation import validation_batches
from llmops_lightning.weights import load_network, load_tokenizer

CURVE = "training.jsonl"


def train(config: LightningTrain, run: StepRun, *, model: Model, data: Dataset) -> Model:
    """Tune `model` on the split `train` of `data`; the same inputs and seed give the same bytes.

    Writes what the tuning learned, the plan of its steps (plan.json, plan.jsonl), and the curve
    (training.jsonl: a row for each optimizer step and each validation). An interrupted training goes on from
    its last checkpoint and ends with the same bytes. Of processes that were started together only the
    leading one writes, and what the others return is of no use. Raises DataError when the data cannot be
    learned from, StepError when the training goes wrong.
    """
    tuning: Tuning = run.load(config.tuning)(config.tuning.config, run)
    strategy: Strategy = run.load(config.strategy)(config.strategy.config, run)
    _check(data, run)
    expect_even(config, run, strategy)
    if not run.place.leads:
        with joined(run, strategy) as (team, scratch):
            assist(config, replace(run, scratch=scratch), model, strategy, team)
        return model
    # before anything that may fail: the others notice when this process is gone
    store = at_address(run.place) if run.place.size > 1 else None
    with one_thread(), torch.random.fork_rng(devices=()):
        torch.manual_seed(run.seed)
        tokenizer, network = load_tokenizer(model), load_network(model, **tuning.loading)
        prepared = prepare(config, run, data, longest_row(config, model, run), (tokenizer, network))
        torch.manual_seed(run.seed)
        training = Training(tuning.apply(network), prepared.objective, config, run)
        count = sum(one.numel() for one in training.learner.learning().values())
        run.metric("trainable_parameters", count)
        known = identity(model, prepared.plan.digest, config, run.seed)
        brief(run, known)
        try:
            with crew(config, run, model, strategy, store) as training.team:
                training.validation = validation_batches(
                    config, prepared.objective, prepared.validation, training.team
                )
                loader = StepLoader(prepared.plan, prepared.examples, prepared.objective, training.team)
                learned = run_steps(training, loader, strategy, known)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(Need(config, model, prepared.plan.summary["worst_batch"]), run) from error
    whole = training.spread.whole(learned, lambda: tuning.apply(load_network(model, **tuning.loading)))
    tuning.save(whole, tokenizer, model, run)
    prepared.plan.copy(run.folder)
    _write_curve(run.folder / CURVE, training.rows)
    return Model(
        folder=run.folder,
        name=f"{model.name}-{config.tuning.use}",
        parameters=model.parameters,
        context=model.context,
        base=model,
    )


@dataclass(frozen=True)
class Prepared:
    """What is to be learned, before anything is."""

    objective: Objective
    examples: Encoded
    plan: Plan
    validation: Encoded | None


def prepare(
    config: LightningTrain, run: StepRun, data: Dataset, length: int, model: tuple[Any, nn.Module]
) -> Prepared:
    """Encode the data and plan every step, into `run.scratch`. `model` is tokenizer and bare network."""
    tokenizer, network = model
    objective: Objective = run.load(config.objective)(
        config.objective.config, run, tokenizer=tokenizer, network=network
    )
    if data.shape not in objective.shapes:
        use, shapes = config.objective.use, ", ".join(objective.shapes)
        what = f"the data's rows have the shape {data.shape}, and the objective {use} takes {shapes}"
        raise DataError(what, where=run.step, remedy=f"Choose another data step or {run.step}.objective.")
    encoder = Encoder(objective, length, run, config.processes, config.max_silent_share)
    examples = encoder.encode(data, "train", config.max_rows)
    pack = None
    if config.batching == "packs":
        _expect_packs(objective, run)
        pack = max(length, config.pack_length or length)
    schedule = Schedule(config.epochs, config.batch_size, config.accumulate, run.seed, config.max_steps, pack)
    plan = write_plan(run.scratch, examples, schedule)
    validation = None
    if config.validation_rows and data.rows.get("validation"):
        validation = encoder.encode(data, "validation", config.validation_rows)
    return Prepared(objective, examples, plan, validation)


def _expect_packs(objective: Objective, run: StepRun) -> None:
    if not objective.packs:
        raise StepError(
            "this objective's examples cannot share a row",
            where=run.step,
            remedy=f"Set {run.step}.batching=buckets.",
        )


def longest_row(config: LightningTrain, model: Model, run: StepRun) -> int:
    """Tokens a row may have. Raises StepError when that is more than the model can see."""
    if config.max_length is None:
        return min(LENGTH, model.context)
    if config.max_length > model.context:
        raise StepError(
            f"max_length is {config.max_length}, and {model.name} sees {model.context} tokens at most",
            where=run.step,
            remedy=f"Set {run.step}.max_length={model.context} or less.",
        )
    return config.max_length


def _check(data: Dataset, run: StepRun) -> None:
    if not data.rows.get("train"):
        raise DataError(
            "the data has no rows to train on", where=run.step, remedy="Check the data step's funnel."
        )


def _write_curve(file: Path, rows: Sequence[Mapping[str, float]]) -> None:
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
