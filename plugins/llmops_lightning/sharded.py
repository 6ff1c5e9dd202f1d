"""Every process has its share of the weights, gradients and optimizer state: the strategy fsdp (FSDP2).

A layer's weights are whole only while the layer computes. The shares are DTensors, which know what they are
shares of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from llmops_lightning.config import Fsdp, LightningTrain
from llmops_lightning.optimizing import adamw, state_of, take_state
from llmops_lightning.spread import Learner, MicroBatch, State, Weights, put, seeded
from llmops_lightning.team import Team, expect_group


class InPlace(SingleDeviceStrategy):
    """Lightning's strategy for one device, which leaves the network where the shares were put."""

    def model_to_device(self) -> None:
        """Nothing: shares lie on the device, or were offloaded from it."""

    def teardown(self) -> None:
        """What the trainer's own does, but for moving the network to the CPU, which shares do not bear."""
        self.precision_plugin.teardown()
        self.accelerator.teardown()
        self.checkpoint_io.teardown()


def device_of(accelerator: str, team: Team) -> torch.device:
    """What this process computes on."""
    return torch.device("cuda", team.local) if accelerator == "gpu" else torch.device("cpu")


def in_place(accelerator: str, team: Team) -> Mapping[str, Any]:
    """Arguments of a trainer that leaves the network where it lies, on one device for each process."""
    devices: Any = [team.local] if accelerator == "gpu" else 1
    return {"accelerator": accelerator, "devices": devices, "strategy": InPlace(device_of(accelerator, team))}


class Sharded:
    """A share of it in each process; gradients are summed into the shares."""

    reads_alone = False

    def __init__(
        self, learner: Learner, config: LightningTrain, team: Team, chosen: Fsdp, accelerator: str
    ) -> None:
        self.learner = learner
        self.team = team
        self.accelerator = accelerator
        self.waits = chosen.reduce == "step"
        self.device = device_of(accelerator, team)
        shard(learner, team, self.device, offload=chosen.offload == "cpu")

    @property
    def trainer(self) -> Mapping[str, Any]:
        """One device for each process."""
        return in_place(self.accelerator, self.team)

    def optimizer(self, groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
        """torch's, of the shares."""
        self.adamw = adamw(groups, lr)
        return self.adamw

    def start(self, weights: Weights | None, state: State | None) -> None:
        """Each process takes its shares of the whole tensors; without any all have the same already, from
        the model's files and the seed."""
        learning = self.learner.learning()
        with torch.no_grad():
            for name, tensor in (weights or {}).items():
                learning[name].copy_(share_of(tensor, learning[name]))
        take_state(self.adamw, learning, state or {}, share_of)

    def gradients(self, batches: Sequence[MicroBatch], weight: int) -> float:
        """One micro-batch after another."""
        total = 0.0
        for at, one in enumerate(seeded(batches), 1):
            self.root.set_requires_gradient_sync(at == len(batches) or not self.waits)
            loss = self.learner(one.batch) * (one.counts / weight)
            loss.backward()
            total += float(loss.detach())
        return total

    def step(self, lr: float, clip: float | None) -> float:
        """Each process updates its shares."""
        gradients = [part_of(one.grad) for one in self.learner.learning().values() if one.grad is not None]
        (squares,) = self.team.sum(float(nn.utils.get_total_norm(gradients)) ** 2)
        norm = math.sqrt(squares)
        if clip is not None and norm > clip:
            torch._foreach_mul_(gradients, clip / norm)
        if math.isfinite(norm):
            for group in self.adamw.param_groups:
                group["lr"] = lr
            self.adamw.step()
        self.adamw.zero_grad()
        return norm

    def loss(self, batches: Sequence[MicroBatch]) -> float:
        """One micro-batch after another."""
        with torch.no_grad():
            total = sum(float(self.learner(one.batch)) * one.counts for one in batches)
        # without a backward nothing else gives the outermost weights back
        self.root.reshard()
        return total

    def weights(self) -> Weights:
        """Put together from the shares, one weight after another."""
        return {name: self._whole(one.detach()) for name, one in self.learner.learning().items()}

    def state(self) -> State:
        """Put together from the shares."""
        return state_of(self.adamw, self.learner.learning(), self._whole)

    def whole(self, learned: Weights, load: Callable[[], nn.Module]) -> nn.Module:
        """One that is loaded again: this one has only shares."""
        fresh = Learner(load(), self.learner.objective)
        put(fresh, learned)
        return fresh.network

    def close(self) -> None:
        """Nothing is held."""

    @property
    def root(self) -> FSDPModule:
        """What `shard` made of the learner."""
        root: Any = self.learner
        return root  # type: ignore[no-any-return]

    def _whole(self, part: Tensor) -> Tensor:
        if isinstance(part, DTensor):
            # an offloaded share must go to where processes exchange
            part = part.to(self.device).full_tensor()
        return part.cpu() if self.team.leads else part.new_empty(0)


def shard(learner: Learner, team: Team, device: torch.device, *, offload: bool) -> None:
    """Leave this process its share of every layer, and of what is outside the layers.

    Gradients are summed: the loss is divided by what the plan says, never by the number of processes.
    """
    expect_group(team, device.type)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    mesh = init_device_mesh(device.type, (team.size,))
    policy = CPUOffloadPolicy(pin_memory=device.type == "cuda") if offload else OffloadPolicy()
    layers = [one for one in learner.modules() if isinstance(one, GradientCheckpointingLayer)]
    for module in (*layers, learner):
        made: Any = fully_shard(module, mesh=mesh, offload_policy=policy)
        made.set_gradient_divide_factor(1.0)
        made.set_force_sum_reduction_for_comms(True)


def share_of(whole: Tensor, like: Tensor) -> Tensor:
    """This process's share of a whole tensor that every process has."""
    if not isinstance(like, DTensor):
        return whole.to(like.device, copy=True)
    made = distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
    return made.to(like.to_local().device, copy=True)


def part_of(tensor: Tensor) -> Tensor:
    """What of a tensor lies in this process."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
