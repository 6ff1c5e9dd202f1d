"""AdamW, and its state by the names of what learns, which outlives any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llmops_lightning.spread import State
from llmops_lightning.weights import quiet

STEP = "step"
"""The one entry of a weight's state that is a count and not shaped as the weight."""


def adamw(groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
    """torch's AdamW over groups of parameters, fused."""
    return torch.optim.AdamW([dict(group) for group in groups], lr=lr, fused=True)


def adamw8bit(groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
    """bitsandbytes' AdamW, whose moments are 8 bits each; those of weights below 4,096 numbers stay fp32."""
    with quiet():
        from bitsandbytes.optim import AdamW8bit
    made: torch.optim.Optimizer = AdamW8bit([dict(group) for group in groups], lr=lr)
    return made


def groups_of(learning: Sequence[nn.Parameter], decay: float) -> Sequence[Mapping[str, Any]]:
    """Matrices, which decay, and biases and norms, which never do."""
    matrices = [one for one in learning if one.ndim > 1]
    others = [one for one in learning if one.ndim <= 1]
    found: list[Mapping[str, Any]] = [{"params": matrices, "weight_decay": decay}]
    return [*found, {"params": others, "weight_decay": 0.0}] if others else found


def state_of(
    optimizer: torch.optim.Optimizer,
    learning: Mapping[str, nn.Parameter],
    whole: Callable[[Tensor], Tensor] = lambda part: part,
) -> State:
    """The state by name; `whole` makes a tensor of this process's part of it."""
    return {
        name: {key: whole(torch.as_tensor(value)) for key, value in optimizer.state[one].items()}
        for name, one in learning.items()
        if one in optimizer.state
    }


def take_state(
    optimizer: torch.optim.Optimizer,
    learning: Mapping[str, nn.Parameter],
    state: State,
    part: Callable[[Tensor, nn.Parameter], Tensor] = lambda whole, like: laid_out(whole, like),
) -> None:
    """Go on from a state by name; `part` takes this process's part of a whole tensor, laid out like the
    weight it belongs to."""
    with torch.no_grad():
        for name, values in state.items():
            one = learning[name]
            optimizer.state[one] = {
                key: _count(value, one) if key == STEP else part(value, one) for key, value in values.items()
            }


def _count(step: Tensor, one: nn.Parameter) -> Tensor | int:
    """bitsandbytes counts in plain numbers, torch in tensors of floats."""
    return step.to(one.device, copy=True) if step.is_floating_point() else int(step)


def laid_out(whole: Tensor, like: Tensor) -> Tensor:
    """A copy where a weight is, laid out as it is; moments in 8 bits and their scales have other shapes."""
    if whole.shape != like.shape or whole.dtype != like.dtype:
        return whole.to(like.device, copy=True)
    return torch.empty_like(like).copy_(whole)
