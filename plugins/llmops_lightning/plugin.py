"""What this plugin offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl

LLMOPS_CONTRACT = 1

if TYPE_CHECKING:
    from llmops_core.config import Recipe

NEEDS = ("torch", "transformers", "pytorch_lightning", "safetensors")
EXTRA = "llmops[train]"


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The stage `train`, and its parts: which weights learn, what is learned, and where it runs."""
    return [
        Implementation(
            group="train",
            name="lightning",
            config="llmops_lightning.config:LightningTrain",
            target="llmops_lightning.train:train",
            about="Fine-tuning with PyTorch Lightning.",
            accepts=("messages", "qa", "text"),
            estimate="llmops_lightning.estimate:estimate",
            needs=NEEDS,
            extra=EXTRA,
            together=True,
        ),
        _part(
            "train/tuning", "lora", "Lora", "tuning:lora", "A small adapter learns, the weights stay.", "peft"
        ),
        _part("train/tuning", "full", "Full", "tuning:full", "All weights learn."),
        _part("train/strategy", "single", "SingleStrategy", "strategy:single", "One process, one device."),
        _part("train/strategy", "ddp", "Ddp", "strategy:ddp", "Several processes share each step's batches."),
        _part("train/strategy", "fsdp", "Fsdp", "strategy:fsdp", "Several processes share all weights too."),
        _zero("deepspeed_zero1", "Zero", "Several processes share the optimizer's state."),
        _zero("deepspeed_zero2", "Zero2", "Several processes share its state and the gradients."),
        _zero("deepspeed_zero3", "Zero3", "Several processes share its state, gradients and weights."),
        _part("train/objective", "sft", "Sft", "sft:sft", "Learns the assistant's answers of dialogues."),
        _part("train/objective", "pretrain", "Pretrain", "pretrain:pretrain", "Learns every token of texts."),
        _part(
            "train/objective",
            "seq2seq",
            "Seq2seq",
            "seq2seq:seq2seq",
            "Learns answers, with a model of an encoder and a decoder.",
        ),
    ]


@hookimpl
def llmops_check(recipe: Recipe) -> Sequence[Problem]:
    """What of a training's choices does not go together, with each other or with this machine."""
    from llmops_lightning.capabilities import Machine, problems
    from llmops_lightning.config import LightningTrain

    found: list[Problem] = []
    for step in recipe.steps:
        if step.stage == "train" and isinstance(step.config, LightningTrain):
            launch = getattr(step.settings, "launch", None)
            here = launch is None or launch.use in ("here", "process")
            for problem in problems(step.config, step.name, Machine(), here=here):
                found.append(replace(problem, origin=recipe.origin(problem.where)))
    return found


def _part(group: str, name: str, config: str, target: str, about: str, *needs: str) -> Implementation:
    return Implementation(
        group=group,
        name=name,
        config=f"llmops_lightning.config:{config}",
        target=f"llmops_lightning.{target}",
        about=about,
        needs=needs,
        extra=EXTRA,
    )


def _zero(name: str, config: str, about: str) -> Implementation:
    made = _part("train/strategy", name, config, "deepspeed_spread:zero", about, "deepspeed")
    return replace(made, extra="llmops[deepspeed]")
