"""A preference objective as anybody may write it: chosen answers are to be likelier than rejected ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from llmops_core.hookspecs import Implementation, hookimpl
from llmops_core.settings import setting
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.masking import encode, tokenizer_identity
from llmops_lightning.objective import NO_LOSS, Batch, Example


@dataclass(frozen=True)
class Margin:
    """Two answers, told apart."""

    beta: float = setting(1.5, doc="How much a margin counts.", above=0)


@dataclass(frozen=True)
class MarginObjective:
    """A pair's loss: -log sigmoid(beta x (mean log-probability of the chosen answer - of the rejected))."""

    config: Margin
    tokenizer: Any
    packs: bool = False
    shapes: Sequence[str] = ("preference",)

    def identity(self) -> str:
        return f"margin {tokenizer_identity(self.tokenizer)}"

    def encode(self, row: Mapping[str, Any], max_length: int) -> Sequence[Example]:
        answers = ([*row["prompt"], *row[name]] for name in ("chosen", "rejected"))
        whole = [encode(messages, self.tokenizer) for messages in answers]
        both = tuple(one.cut(max_length) for one in whole)
        return [Example(both, weight=1, cut=any(len(one.ids) > max_length for one in whole))]

    def collate(self, rows: Sequence[Sequence[Example]]) -> Batch:
        sides = [[Example.of(part)] for row in rows for part in row[0].parts]
        return causal.collate(sides, causal.padding_of(self.tokenizer))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return -logsigmoid(self.config.beta * margins(model, batch)).sum()


def margins(model: nn.Module, batch: Batch) -> Tensor:
    """Of each pair; its chosen side comes first in the batch."""
    labels = batch["labels"][:, 1:]
    likely = model(input_ids=batch["ids"]).logits[:, :-1].log_softmax(-1)
    found = likely.gather(-1, labels.clamp(min=0)[..., None])[..., 0] * (labels != NO_LOSS)
    means = found.sum(-1) / (labels != NO_LOSS).sum(-1)
    return means[::2] - means[1::2]


def margin(config: Margin, run: StepRun, *, tokenizer: Any, network: nn.Module) -> MarginObjective:
    return MarginObjective(config, tokenizer)


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    return [Implementation("train/objective", "margin", f"{__name__}:Margin", f"{__name__}:margin")]
