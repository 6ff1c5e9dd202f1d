"""What every process of a training but the leading one does: its part of a plan that lies in scratch."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch

from llmops_core.artifacts import Model
from llmops_core.step import StepRun
from llmops_lightning.batches import StepLoader
from llmops_lightning.config import LightningTrain
from llmops_lightning.encoding import Encoded
from llmops_lightning.gradients import one_thread
from llmops_lightning.module import Training
from llmops_lightning.objective import Objective
from llmops_lightning.plan import Plan
from llmops_lightning.running import run_steps
from llmops_lightning.strategy import Strategy
from llmops_lightning.team import Team
from llmops_lightning.tuning import Tuning
from llmops_lightning.validation import validation_batches
from llmops_lightning.weights import load_network, load_tokenizer

BRIEF = "training.json"


def brief(run: StepRun, known: Mapping[str, str]) -> None:
    """In the leading process: leave in scratch what tells this training from others, beside its plan."""
    (run.scratch / BRIEF).write_text(json.dumps(dict(known)), encoding="utf-8")


def assist(config: LightningTrain, run: StepRun, model: Model, strategy: Strategy, team: Team) -> None:
    """Compute this process's part of every step, and write nothing.

    `run.scratch` is the leading process's, after `brief`; its checkpoints lie there too.
    """
    tuning: Tuning = run.load(config.tuning)(config.tuning.config, run)
    with one_thread(), torch.random.fork_rng(devices=()):
        tokenizer, network = load_tokenizer(model), load_network(model, **tuning.loading)
        objective: Objective = run.load(config.objective)(
            config.objective.config, run, tokenizer=tokenizer, network=network
        )
        torch.manual_seed(run.seed)
        training = Training(tuning.apply(network), objective, config, run)
        training.team = team
        split = run.scratch / "encoded-validation"
        validation = Encoded(split) if config.validation_rows and split.is_dir() else None
        training.validation = validation_batches(config, objective, validation, team)
        plan = Plan(run.scratch)
        loader = StepLoader(plan, Encoded(run.scratch / "encoded-train"), objective, team)
        known = json.loads((run.scratch / BRIEF).read_text(encoding="utf-8"))
        run_steps(training, loader, strategy, known)
