"""Token by token generation for several requests at once, over one key-value cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

PREFILL_TOKENS = 512  # a prompt is read in parts of this many, so that it can be given up in between

Choose = Callable[[Tensor], int]


class GivenUpError(Exception):
    """Nobody waits for this answer any more."""


def chooser(temperature: float, top_p: float, seed: int | None) -> Choose:
    """A function from the logits of the next token, shape (vocabulary,), to a token."""
    if temperature == 0:
        return lambda logits: int(logits.argmax())
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % 2**63)

    def choose(logits: Tensor) -> int:
        likely = torch.softmax(logits.float().cpu() / temperature, -1)
        chances, order = likely.sort(descending=True, stable=True)
        # A token stays while those before it do not reach top_p: the likeliest always does.
        chances[1:][chances.cumsum(-1)[:-1] >= top_p] = 0
        return int(order[torch.multinomial(chances, 1, generator=generator)])

    return choose


def can_batch(model: Any) -> bool:
    """Whether the model's cache is plain keys and values, whose rows can be put side by side."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


@dataclass
class Row:
    """One answer being written: its latest token, how many are in the cache, and how the next is chosen."""

    token: int
    length: int
    choose: Choose


@dataclass
class Batch:
    """Rows of different lengths over one cache, padded on the left.

    A row alone has no padding and no mask, so it computes exactly what a single request would.
    """

    model: Any
    rows: list[Row] = field(default_factory=list)
    _cache: Any = None

    @torch.inference_mode()
    def join(self, tokens: Sequence[int], choose: Choose, wanted: Callable[[], bool]) -> int:
        """Read a prompt and add its row; gives the first token of the answer. Raises GivenUpError."""
        cache = DynamicCache(config=self.model.config)
        prompt = torch.tensor([list(tokens)], device=self.model.device)
        for part in torch.split(prompt, PREFILL_TOKENS, dim=1):
            if not wanted():
                raise GivenUpError
            output = self.model(input_ids=part, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token = choose(output.logits[0, -1])
        self._cache = _side_by_side(self._cache, cache) if self.rows else cache
        self.rows.append(Row(token, len(tokens), choose))
        return token

    @torch.inference_mode()
    def step(self) -> list[int]:
        """The next token of every row."""
        output = self.model(
            input_ids=torch.tensor([[row.token] for row in self.rows], device=self.model.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **self._places(),
        )
        for row, logits in zip(self.rows, output.logits[:, -1], strict=True):
            row.token, row.length = row.choose(logits), row.length + 1
        return [row.token for row in self.rows]

    @torch.inference_mode()
    def keep(self, wanted: Sequence[int]) -> None:
        """Drop all rows but those with the indices `wanted`, and the padding that only they needed."""
        if len(wanted) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in wanted]
        if not self.rows:
            self._cache = None
            return
        chosen = torch.tensor(list(wanted), device=self.model.device)
        longest = max(row.length for row in self.rows)
        for layer in self._cache.layers:
            layer.keys = layer.keys[chosen, :, -longest:].contiguous()
            layer.values = layer.values[chosen, :, -longest:].contiguous()

    def _places(self) -> dict[str, Tensor]:
        """Mask and positions, needed once rows differ in length."""
        lengths = torch.tensor([[row.length] for row in self.rows], device=self.model.device)
        longest = int(lengths.max())
        if bool((lengths == longest).all()):
            return {}
        places = torch.arange(longest + 1, device=self.model.device)
        return {"attention_mask": (places >= longest - lengths).long(), "position_ids": lengths}


def _side_by_side(batch: Any, alone: Any) -> Any:
    """`batch` with the one row of `alone` below it, the shorter padded with zeros on the left."""
    for layer, other in zip(batch.layers, alone.layers, strict=True):
        layer.keys = _stack(layer.keys, other.keys)
        layer.values = _stack(layer.values, other.values)
    return batch


def _stack(above: Tensor, below: Tensor) -> Tensor:
    """Tensors of shape (rows, heads, length, width), padded to one length and put together by rows."""
    longest = max(above.shape[2], below.shape[2])
    padded = (torch.nn.functional.pad(one, (0, 0, longest - one.shape[2], 0)) for one in (above, below))
    return torch.cat(list(padded))
