"""What objectives of causal language models share: batches, packs and the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llmops_lightning import cross_entropy
from llmops_lightning.objective import NO_LOSS, Batch, Example


def padding_of(tokenizer: Any) -> int:
    """The token that fills rows up. It may be one with a meaning: what has loss is said by the labels."""
    found = tokenizer.pad_token_id
    found = tokenizer.eos_token_id if found is None else found
    return int(found or 0)


def collate(rows: Sequence[Sequence[Example]], padding: int) -> Batch:
    """Right-padded `ids` and `labels`, both [rows, tokens]; with packs also `positions` of that shape.

    Positions begin at 0 with each example of a pack, and once more where the padding begins: that is what
    attention tells them apart by.
    """
    lines = [[part for example in row for part in example.parts] for row in rows]
    ids = [[token for part in line for token in part.ids] for line in lines]
    labels = [[label for part in line for label in part.labels] for line in lines]
    width = max(map(len, ids))
    batch = {
        "ids": torch.tensor([line + [padding] * (width - len(line)) for line in ids]),
        "labels": torch.tensor([line + [NO_LOSS] * (width - len(line)) for line in labels]),
    }
    if any(len(line) > 1 for line in lines):
        batch["positions"] = torch.tensor(
            [_positions([len(part.ids) for part in line], width) for line in lines]
        )
    return batch


def _positions(lengths: Sequence[int], width: int) -> list[int]:
    lengths = [*lengths, width - sum(lengths)]
    return [position for length in lengths for position in range(length)]


def loss(model: nn.Module, batch: Batch, *, head_waits: bool, smoothing: float = 0.0) -> Tensor:
    """The summed cross entropy of the tokens with loss.

    `head_waits`: the vocabulary's scores are computed only where there is loss. `smoothing` is the share of
    the target's probability that is spread over the vocabulary, while the model learns.
    """
    # Padding is on the right and attention looks left: no token that counts ever sees it, so the
    # mask may be left away, which is faster and the same. Packs are isolated only without one.
    targets = batch["labels"][:, 1:]
    learned = targets != NO_LOSS
    bare = bare_network(model)
    positions = batch.get("positions")
    inputs = {"input_ids": batch["ids"], "position_ids": positions, "use_cache": False}
    inputs |= boundaries(bare, positions)
    smoothing = smoothing if model.training else 0.0
    if head_waits:
        hidden = bare.get_decoder()(**inputs).last_hidden_state[:, :-1][learned]
        return cross_entropy.summed(bare.get_output_embeddings(), hidden, targets[learned], smoothing)
    scores = bare(**inputs).logits[:, :-1][learned]
    return cross_entropy.of_scores(scores, targets[learned], smoothing)


def boundaries(bare: Any, positions: Tensor | None) -> Mapping[str, Any]:
    """What FlashAttention must be told of packs: where in all rows, one after another, examples begin.

    It would find that out itself, but from batches of one row only, and in each layer again.
    """
    if positions is None or not str(bare.config._attn_implementation).startswith("flash"):
        return {}
    flat = positions.flatten()
    starts = (flat == 0).nonzero().flatten()
    ends = torch.cat([starts, starts.new_tensor([flat.numel()])]).to(torch.int32)
    longest = int(ends.diff().max())
    return {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}


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
