"""Supervised fine-tuning: on dialogues, on prompts with completions, on instructions with outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.config import Sft
from llmops_lightning.masking import check_tokenizer, encode, tokenizer_identity
from llmops_lightning.objective import NO_LOSS, Batch, Example, Tokens
from llmops_lightning.weights import expect_decoder


def sft(config: Sft, run: StepRun, *, tokenizer: Any, network: nn.Module) -> SftObjective:
    """The objective of a `train/objective`: `tokenizer` and the bare `network` are the model's."""
    expect_decoder(network, "sft")
    return SftObjective(tokenizer, config, causal.head_can_wait(network))


@dataclass(frozen=True)
class SftObjective:
    """Cross entropy of what is to be answered."""

    tokenizer: Any
    config: Sft = field(default_factory=Sft)
    head_waits: bool = False
    """Compute the vocabulary's scores only where there is loss."""
    packs: bool = True
    shapes: tuple[str, ...] = ("messages", "qa")

    def identity(self) -> str:
        """The tokenizer, its template, and which turns have loss."""
        return f"sft {self.config.turns} {tokenizer_identity(self.tokenizer)}"

    def encode(self, row: Mapping[str, Any], max_length: int) -> Sequence[Example]:
        """A row as one example, cut at `max_length`. Raises DataError when no sure mask can be made."""
        tokens = self._tokens(row)
        if len(tokens.ids) <= max_length:
            return [Example.of(tokens)]
        return [Example.of(tokens.cut(max_length), cut=True)]

    def _tokens(self, row: Mapping[str, Any]) -> Tokens:
        if isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str):
            return completed(row["prompt"], row["completion"], self.tokenizer)
        check_tokenizer(self.tokenizer)
        return encode(messages_of(row), self.tokenizer, last_only=self.config.turns == "last")

    def collate(self, rows: Sequence[Sequence[Example]]) -> Batch:
        """Right-padded `ids` and `labels`, both [rows, tokens], and `positions` where there are packs."""
        return causal.collate(rows, causal.padding_of(self.tokenizer))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The summed cross entropy of the tokens with loss."""
        return causal.loss(model, batch, head_waits=self.head_waits, smoothing=self.config.label_smoothing)


def messages_of(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """A row's dialogue. Raises DataError for a row of no known shape."""
    if isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        asked = "\n\n".join(part for part in (row["instruction"], row.get("input")) if part)
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
    if isinstance(row.get("question"), str) and isinstance(row.get("answer"), str):
        asked = "\n\n".join([*(row.get("contexts") or ()), row["question"]])
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": row["answer"]}]
    messages = row.get("messages")
    if isinstance(messages, list) and all(
        isinstance(message, dict) and "role" in message and "content" in message for message in messages
    ):
        return messages
    raise DataError(
        "the row has no messages with role and content, and no prompt and completion, question and answer, "
        f"or instruction and output; it has {json.dumps(sorted(row))}",
        remedy='Give rows of the shape {"messages": [{"role": ..., "content": ...}, ...]}.',
    )


def completed(prompt: str, completion: str, tokenizer: Any) -> Tokens:
    """A prompt without loss, and its completion with loss on it and on the token that ends it.

    The two are made tokens each for itself, as the prompt is when the model is asked.
    """
    start = tokenizer(prompt)["input_ids"]
    end = tokenizer.eos_token_id
    if end is None:
        raise DataError("the tokenizer has no end-of-sequence token, so a completion would never end")
    if start and start[-1] == end:
        start = start[:-1]  # some tokenizers end everything they are given
    if len(start) > 1 and start[0] == start[1] == tokenizer.bos_token_id:
        start = start[1:]  # the prompt's text had its own
    ends = [*tokenizer(completion, add_special_tokens=False)["input_ids"], end]
    labels = [NO_LOSS] * len(start) + ends
    if not start:
        labels[0] = NO_LOSS
    return Tokens((*start, *ends), tuple(labels))
