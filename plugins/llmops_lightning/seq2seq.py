"""Supervised fine-tuning of models with an encoder and a decoder: a target is learned from its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from llmops_core.errors import DataError, StepError
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.config import Seq2seq
from llmops_lightning.masking import tokenizer_identity
from llmops_lightning.objective import NO_LOSS, Batch, Example, Tokens
from llmops_lightning.sft import messages_of


def seq2seq(config: Seq2seq, run: StepRun, *, tokenizer: Any, network: nn.Module) -> Seq2seqObjective:
    """The objective of a `train/objective`: `tokenizer` and the bare `network` are the model's."""
    told: Any = network.config
    if not getattr(told, "is_encoder_decoder", False):
        raise StepError(
            "the objective seq2seq needs a model with an encoder and a decoder",
            where=f"{run.step}.objective",
            remedy=f"Set {run.step}.objective=sft.",
        )
    return Seq2seqObjective(tokenizer, told.decoder_start_token_id, config)


@dataclass(frozen=True)
class Seq2seqObjective:
    """Cross entropy of the target's tokens, and of the token that ends it."""

    tokenizer: Any
    start: int
    """The token the decoder begins with."""
    config: Seq2seq
    packs: bool = False
    shapes: tuple[str, ...] = ("messages", "qa")

    def identity(self) -> str:
        """The tokenizer."""
        return f"seq2seq {tokenizer_identity(self.tokenizer)}"

    def encode(self, row: Mapping[str, Any], max_length: int) -> Sequence[Example]:
        """A row as source and target, each cut at `max_length`. Raises DataError."""
        asked, answered = _sides(row)
        source = self.tokenizer(asked)["input_ids"]
        target = self.tokenizer(text_target=answered)["input_ids"]
        end = self.tokenizer.eos_token_id
        target = target if end is None or target[-1:] == [end] else [*target, end]
        cut = max(len(source), len(target)) > max_length
        parts = (
            Tokens(tuple(source), (NO_LOSS,) * len(source)).cut(max_length),
            Tokens(tuple(target), tuple(target)).cut(max_length),
        )
        return [Example(parts, parts[1].weight, cut=cut)]

    def collate(self, rows: Sequence[Sequence[Example]]) -> Batch:
        """Right-padded: `ids` and `mask` are [rows, source tokens], `labels` and `starts` [rows, target
        tokens]."""
        padding = causal.padding_of(self.tokenizer)
        sources = [row[0].parts[0].ids for row in rows]
        targets = [row[0].parts[1].labels for row in rows]
        labels = _padded(targets, NO_LOSS)
        before = torch.cat([torch.full((len(rows), 1), self.start), labels[:, :-1]], dim=1)
        return {
            "ids": _padded(sources, padding),
            "mask": _padded([(1,) * len(source) for source in sources], 0),
            "labels": labels,
            "starts": before.masked_fill(before == NO_LOSS, padding),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The summed cross entropy of the targets."""
        scores = causal.bare_network(model)(
            input_ids=batch["ids"],
            attention_mask=batch["mask"],
            decoder_input_ids=batch["starts"],
            use_cache=False,
        ).logits
        return functional.cross_entropy(
            scores.float().flatten(0, 1),
            batch["labels"].flatten(),
            ignore_index=NO_LOSS,
            reduction="sum",
            label_smoothing=self.config.label_smoothing if model.training else 0.0,
        )


def _sides(row: Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str):
        return row["prompt"], row["completion"]
    messages = messages_of(row)
    if [message["role"] for message in messages] != ["user", "assistant"]:
        raise DataError(
            "the row is not one question and its answer, which is all that a model with an encoder takes",
            remedy="Give rows of one user turn and one assistant turn.",
        )
    return str(messages[0]["content"]), str(messages[1]["content"])


def _padded(lines: Sequence[Sequence[int]], filler: int) -> Tensor:
    width = max(map(len, lines))
    return torch.tensor([[*line, *[filler] * (width - len(line))] for line in lines])
