"""Matrix products in 8 bits while a network learns (torchao)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.compiling import layers_of

ADA = (8, 9)
"""The first compute capability that has fp8."""
MULTIPLE = 16
"""What both sides of a matrix must be a multiple of."""


@contextlib.contextmanager
def products_in_fp8(network: nn.Module, run: StepRun, *, emulate: bool = False) -> Iterator[None]:
    """Inside, the layers' large matrices are multiplied in fp8, scaled by their largest number at each use.

    Weights stay as they are held. The head and adapters multiply as before: what is small gains nothing.
    `emulate`: rounds as fp8 does, on any device. Raises StepError where the GPU has no fp8.
    """
    if not emulate and torch.cuda.get_device_capability() < ADA:
        raise StepError(
            f"{torch.cuda.get_device_name()} has no fp8, which Ada and Hopper brought",
            where=f"{run.step}.precision",
            remedy=f"Set {run.step}.precision=bf16.",
        )
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    large = {one for layer in layers_of(network) for name, one in layer.named_modules() if gains(name, one)}
    places = [(parent, name, one) for parent in network.modules() for name, one in parent.named_children()]
    before = [(parent, name, one) for parent, name, one in places if one in large]
    convert_to_float8_training(
        network, config=Float8LinearConfig(emulate=emulate), module_filter_fn=lambda one, name: one in large
    )
    try:
        yield
    finally:
        # both have the same weights: what was learned is in the old ones too
        for parent, name, one in before:
            setattr(parent, name, one)


def gains(name: str, module: nn.Module) -> bool:
    """Whether a layer's module is a plain linear one, no adapter, of a shape that fp8 has."""
    if type(module) is not nn.Linear or "lora_" in name:
        return False
    return module.in_features % MULTIPLE == 0 and module.out_features % MULTIPLE == 0
