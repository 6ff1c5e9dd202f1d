"""Continued pretraining: every token of a text is learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.config import Pretrain
from llmops_lightning.masking import check_tokenizer, rendered, tokenizer_identity
from llmops_lightning.objective import NO_LOSS, Batch, Example, Tokens
from llmops_lightning.weights import expect_decoder


def pretrain(config: Pretrain, run: StepRun, *, tokenizer: Any, network: nn.Module) -> PretrainObjective:
    """The objective of a `train/objective`: `tokenizer` and the bare `network` are the model's."""
    expect_decoder(network, "pretrain")
    return PretrainObjective(tokenizer, config.label_smoothing, causal.head_can_wait(network))


@dataclass(frozen=True)
class PretrainObjective:
    """Cross entropy of every token but a text's first."""

    tokenizer: Any
    smoothing: float = 0.0
    head_waits: bool = False
    """Compute the vocabulary's scores only where there is loss."""
    packs: bool = True
    shapes: tuple[str, ...] = ("text", "messages")

    def identity(self) -> str:
        """The tokenizer and its template."""
        return f"pretrain {tokenizer_identity(self.tokenizer)}"

    def encode(self, row: Mapping[str, Any], max_length: int) -> Sequence[Example]:
        """A text with its end, in pieces of at most `max_length` tokens: nothing is cut away.

        A piece begins with the last token of the one before it, so that every token is learned once.
        """
        ids = self._ids(row)
        pieces = [ids[at : at + max_length] for at in range(0, max(1, len(ids) - 1), max_length - 1)]
        return [Example.of(Tokens(tuple(piece), (NO_LOSS, *piece[1:]))) for piece in pieces if piece]

    def _ids(self, row: Mapping[str, Any]) -> Sequence[int]:
        end = self.tokenizer.eos_token_id
        if isinstance(row.get("text"), str):
            ids = list(self.tokenizer(row["text"])["input_ids"])
            return ids if end is None or ids[-1:] == [end] else [*ids, end]
        if isinstance(row.get("messages"), list):
            check_tokenizer(self.tokenizer)
            text = rendered(row["messages"], self.tokenizer, asking=False)
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        raise DataError(
            f"the row has neither text nor messages; it has {json.dumps(sorted(row))}",
            remedy='Give rows of the shape {"text": ...}.',
        )

    def collate(self, rows: Sequence[Sequence[Example]]) -> Batch:
        """Right-padded `ids` and `labels`, both [rows, tokens], and `positions` where there are packs."""
        return causal.collate(rows, causal.padding_of(self.tokenizer))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The summed cross entropy of the tokens with loss."""
        return causal.loss(model, batch, head_waits=self.head_waits, smoothing=self.smoothing)
