"""NEFTune: noise on the embeddings while learning (https://arxiv.org/abs/2310.05914)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def noisy_embeddings(network: nn.Module, alpha: float) -> Iterator[None]:
    """Inside, uniform noise of size alpha / sqrt(tokens x width) is added while the network trains."""

    def add(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if not module.training:
            return output
        size = alpha / math.sqrt(output.shape[-2] * output.shape[-1])
        return output + torch.empty_like(output).uniform_(-size, size)

    found: Any = network
    handle = found.get_input_embeddings().register_forward_hook(add) if alpha else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()
