"""Compiles a network's layers while it learns."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from transformers.modeling_layers import GradientCheckpointingLayer

from llmops_core.errors import StepError
from llmops_core.step import StepRun

VARIANTS = 64
"""How often a layer may be compiled: with gradients and without, for one row and for more, masked and not."""


def layers_of(network: nn.Module) -> Sequence[nn.Module]:
    """The layers that a network is a stack of."""
    return [one for one in network.modules() if isinstance(one, GradientCheckpointingLayer)]


@contextlib.contextmanager
def compiled_layers(network: nn.Module, run: StepRun, *, one_shape: bool) -> Iterator[None]:
    """Inside, each layer is compiled when it first computes; all of them share what was compiled.

    `one_shape`: nearly all batches have the same number of rows and tokens, else code for any number is made
    at once. Raises StepError where there are no layers, or compiling them fails.
    """
    layers = layers_of(network)
    if not layers:
        raise StepError(
            "this model's layers cannot be told apart, so they cannot be compiled",
            where=f"{run.step}.compile",
            remedy=f"Set {run.step}.compile=false.",
        )
    for layer in layers:
        layer.compile(dynamic=None if one_shape else True)
    try:
        with torch._dynamo.config.patch(recompile_limit=VARIANTS), warnings.catch_warnings():
            # the compiler looks whether inputs have gradients
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not", UserWarning)
            yield
    except TorchDynamoException as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise StepError(
            f"the layers could not be compiled: {' '.join(said[:2])}",
            where=f"{run.step}.compile",
            remedy=f"Set {run.step}.compile=false, or see to the compiler (--debug shows all it said).",
        ) from error
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
