"""The cross entropy of hidden states under a vocabulary's head, in chunks where its scores are many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]
CHUNK = 256 * 49_152
"""Scores of a chunk. Of 1,024 rows of 49,152 words under a frozen head, 256 at once hold 169 MB and take 1.76
CPU seconds; 128 hold 361 MB (the allocator keeps arrays below 32 MB) and take 2.05, 512 332 MB and 1.67."""
WHOLE = 1024 * 49_152
"""Scores up to which all are computed at once: those 1,024 rows hold 629 MB and take 1.61 s. Where the head
learns it is 629 MB and 2.16 s, in chunks 411 MB and 3.17. What chunks hold does not grow with the rows."""


def summed(head: nn.Module, hidden: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """The summed cross entropy of `targets` [rows] given `hidden` [rows, width], in fp32.

    `head` gives the scores [rows, words]: an output layer, an adapter around one too.
    """

    def loss(hidden: Tensor, targets: Tensor) -> Tensor:
        return of_scores(head(hidden), targets, smoothing)

    words = getattr(head, "out_features", 0)
    if len(hidden) * words <= WHOLE or any(map(_is_spread, head.parameters())):
        return loss(hidden, targets)
    if not torch.is_grad_enabled():
        return torch.stack([loss(*part) for part in _chunks(words, hidden, targets)]).sum()
    weights = [one for one in head.parameters() if one.requires_grad]
    return _InChunks.apply(loss, words, hidden, targets, *weights)  # type: ignore[no-any-return, no-untyped-call]


def of_scores(scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """The summed cross entropy of `targets` [rows] given all `scores` [rows, words], in fp32."""
    return functional.cross_entropy(scores.float(), targets, reduction="sum", label_smoothing=smoothing)


def _is_spread(weight: nn.Parameter) -> bool:
    """Whether a strategy holds only a part of it here, and hears of its gradient in ways of its own."""
    return isinstance(weight, DTensor) or hasattr(weight, "ds_id")


def _chunks(words: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    rows = max(1, CHUNK // words)
    for start in range(0, len(tensors[0]), rows):
        yield tuple(one[start : start + rows] for one in tensors)


class _InChunks(torch.autograd.Function):
    """Each chunk's gradients are computed at once with its loss, so that its scores need not be kept or made
    a second time; a loss is a sum, whose gradient is only scaled later."""

    @staticmethod
    def forward(
        ctx: Any, loss: Loss, words: int, hidden: Tensor, targets: Tensor, *weights: Tensor
    ) -> Tensor:
        """The sum of the chunks' losses."""
        gradients = [torch.empty_like(hidden), *map(torch.zeros_like, weights)]
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        # a weight's lower-precision copy that is kept for a second use would keep the first chunk's graph
        with torch.enable_grad(), _uncached(hidden.device.type):
            for into, part, wanted in _chunks(words, gradients[0], hidden, targets):
                part = part.detach().requires_grad_()
                one = loss(part, wanted)
                found = torch.autograd.grad(one, [part, *weights])
                into.copy_(found[0])
                for gradient, more in zip(gradients[1:], found[1:], strict=True):
                    gradient.add_(more)
                total += one.detach()
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        """What was found on the way, scaled."""
        hidden, *weights = (one * scale for one in ctx.saved_tensors)
        return None, None, hidden, None, *weights


def _uncached(device: str) -> Any:
    return torch.autocast(
        device,
        torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    )
