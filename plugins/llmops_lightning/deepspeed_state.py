"""What learns under ZeRO, as whole tensors by name: read from the processes' parts, and divided among them.

Each process's AdamW knows a few flat tensors. Where in them a weight's part lies is what differs: in stages
1 and 2 each weight's `_hp_mapping` tells it, in stage 3 the optimizer's `grad_position`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from llmops_lightning.optimizing import STEP
from llmops_lightning.spread import Learner, State, Weights
from llmops_lightning.team import Team

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Part:
    """A stretch of a weight, flat, and of the optimizer's tensor that holds it here."""

    group: int
    at: int
    """Where it begins in the optimizer's tensor."""
    begins: int
    """Where it begins in the weight."""
    count: int


def read_weights(learner: Learner, team: Team) -> Weights:
    """In the leading process: what learns. All must call it together."""
    from deepspeed.utils import safe_get_full_fp32_param

    learning = learner.learning().items()
    return {name: _kept(safe_get_full_fp32_param(one), team) for name, one in learning}


def read_state(optimizer: Any, learner: Learner, team: Team) -> State:
    """In the leading process: AdamW's state. All must call it together."""
    from deepspeed.utils import safe_get_full_optimizer_state

    steps = [values[STEP] for values in optimizer.optimizer.state.values()]
    return {
        name: {
            STEP: steps[0].cpu().clone(),
            **{key: _kept(safe_get_full_optimizer_state(one, key), team) for key in MOMENTS},
        }
        for name, one in learner.learning().items()
    }


def put_state(optimizer: Any, learner: Learner, state: State, team: Team) -> None:
    """Give this process's AdamW its parts of a whole state; without any, one that has seen nothing.

    Before the first step: DeepSpeed finds the state of all but the first group of weights only if it is there
    by then.
    """
    places = [
        (name, part) for name, one in learner.learning().items() for part in _parts(optimizer, one, team)
    ]
    for at, flat in enumerate(_flats(optimizer)):
        with _in_memory(optimizer, at):
            made = _fresh(flat)
            for name, part in places:
                if part.group == at and name in state:
                    _fill(made, state[name], part)
            optimizer.optimizer.state[flat] = made


def _fill(made: Mapping[str, Tensor], values: Mapping[str, Tensor], part: Part) -> None:
    for key in MOMENTS:
        stretch = values[key].flatten()[part.begins : part.begins + part.count]
        made[key].narrow(0, part.at, len(stretch)).copy_(stretch)
    made[STEP].copy_(values[STEP])


@contextlib.contextmanager
def _in_memory(optimizer: Any, at: int) -> Iterator[None]:
    """Inside, what of a group was put on a disk is back; afterwards what it then holds is there."""
    lies_on_disk = getattr(optimizer, "_swappable_optimizer_subgroup", lambda at: False)(at)
    if lies_on_disk:
        optimizer._optimizer_states_and_gradient_swap_in(at)
    yield
    if lies_on_disk:
        optimizer._optimizer_states_and_gradient_swap_out(at)


def _fresh(flat: Tensor) -> dict[str, Tensor]:
    step = torch.zeros((), dtype=torch.float32, device=flat.device)
    return {STEP: step, **{key: torch.zeros_like(flat) for key in MOMENTS}}


def _flats(optimizer: Any) -> Sequence[Tensor]:
    """The tensors that this process's AdamW steps."""
    whole = hasattr(optimizer, "single_partition_of_fp32_groups")
    found: Sequence[Tensor] = (
        optimizer.single_partition_of_fp32_groups if whole else optimizer.fp32_partitioned_groups_flat
    )
    return found


def _parts(optimizer: Any, one: nn.Parameter, team: Team) -> Iterator[Part]:
    """Where this process's part of a weight lies; it may have none."""
    weight: Any = one
    if hasattr(weight, "ds_id"):
        group, at, count = optimizer.grad_position[optimizer.get_param_id(one)]
        yield Part(group, at, count * team.rank, count)
    elif weight._hp_mapping is not None:
        found = weight._hp_mapping
        inside, of = found.hp_fragment_address, found.lp_fragment_address
        yield Part(found.param_group_index, inside.start, of.start, of.numel)


def _kept(found: Tensor, team: Team) -> Tensor:
    return found.detach().cpu().clone() if team.leads else found.new_empty(0)
