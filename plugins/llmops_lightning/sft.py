"""Supervised fine-tuning on dialogues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_lightning.config import Sft
from llmops_lightning.masking import check_tokenizer, encode
from llmops_lightning.objective import Batch, Example


def sft(config: Sft, run: StepRun, *, tokenizer: Any, network: nn.Module) -> SftObjective:
    """The objective of a `train/objective`: `tokenizer` and the bare `network` are the model's."""
    check_tokenizer(tokenizer)
    return SftObjective(tokenizer, head_can_wait(network))


@dataclass(frozen=True)
class SftObjective:
    """Cross entropy of the assistant's tokens."""

    tokenizer: Any
    head_waits: bool = field(default=False)
    """Compute the vocabulary's scores only where there is loss."""

    def examples(self, rows: Iterable[Mapping[str, Any]], max_length: int, run: StepRun) -> Sequence[Example]:
        """Dialogues as examples, cut at `max_length`. Raises DataError when none has an answer to learn."""
        kept, cut, silent, count = [], 0, 0, 0
        for count, row in enumerate(rows, 1):
            example = _encode_row(row, count, self.tokenizer)
            if example.length > max_length:
                example = Example(example.ids[:max_length], example.labels[:max_length])
                cut += 1
            if example.weight:
                kept.append(example)
            else:
                silent += 1
        if cut:
            run.warn(f"{cut} of {count} rows were cut at {max_length} tokens")
        if not kept:
            why = "no row has an answer of the assistant within max_length" if count else "there are no rows"
            raise DataError(
                f"nothing to learn: {why}",
                where=run.step,
                remedy="Raise max_length, or check the rows' roles." if count else "Check the data step.",
            )
        if silent:
            run.warn(f"{silent} of {count} rows have no answer to learn within {max_length} tokens: left out")
        return kept

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Right-padded `ids` and `labels`, both [rows, tokens]."""
        width = max(example.length for example in examples)
        padding = self.tokenizer.pad_token_id
        padding = self.tokenizer.eos_token_id if padding is None else padding
        ids = [list(one.ids) + [padding or 0] * (width - one.length) for one in examples]
        labels = [list(one.labels) + [-100] * (width - one.length) for one in examples]
        return {"ids": torch.tensor(ids), "labels": torch.tensor(labels)}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The summed cross entropy of the tokens with loss."""
        # Padding is on the right and attention looks left: no token that counts ever sees it, so the
        # mask may be left away, which is faster and the same.
        targets = batch["labels"][:, 1:]
        learned = targets != -100
        bare = bare_network(model)
        if self.head_waits:
            hidden = bare.get_decoder()(input_ids=batch["ids"], use_cache=False).last_hidden_state
            scores = bare.get_output_embeddings()(hidden[:, :-1][learned])
        else:
            scores = bare(input_ids=batch["ids"], use_cache=False).logits[:, :-1][learned]
        return functional.cross_entropy(scores.float(), targets[learned], reduction="sum")


def _encode_row(row: Mapping[str, Any], number: int, tokenizer: Any) -> Example:
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and "role" in message and "content" in message for message in messages
    ):
        raise DataError(
            "the row has no messages with role and content",
            where=f"row {number}",
            remedy='Give rows of the shape {"messages": [{"role": ..., "content": ...}, ...]}.',
        )
    try:
        return encode(messages, tokenizer)
    except DataError as error:
        told = error.problem
        raise DataError(told.what, where=f"row {number}", remedy=told.remedy) from error


def bare_network(model: nn.Module) -> Any:
    """The transformers model inside an adapter's wrapping."""
    wrapped: Any = model
    return wrapped.get_base_model() if hasattr(model, "get_base_model") else model


@torch.no_grad()
def head_can_wait(network: nn.Module) -> bool:
    """Whether the scores are the head applied to the last hidden state: tried, as some models scale them."""
    bare = bare_network(network)
    decoder = bare.get_decoder() if hasattr(bare, "get_decoder") else None
    head = bare.get_output_embeddings()
    if decoder is None or decoder is bare or head is None:
        return False
    ids = torch.arange(4, device=next(bare.parameters()).device).unsqueeze(0)
    hidden = getattr(decoder(input_ids=ids, use_cache=False), "last_hidden_state", None)
    if hidden is None or hidden.shape[-1] != getattr(head, "in_features", hidden.shape[-1]):
        return False
    expected = bare(input_ids=ids, use_cache=False).logits
    return torch.allclose(head(hidden), expected, rtol=1e-5, atol=1e-5)
