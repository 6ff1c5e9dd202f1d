"""How a network computes while it learns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from llmops_core.step import StepRun
from llmops_lightning.attention import attending
from llmops_lightning.causal import bare_network
from llmops_lightning.compiling import compiled_layers
from llmops_lightning.config import LightningTrain
from llmops_lightning.float8 import products_in_fp8


@contextlib.contextmanager
def computing(network: nn.Module, config: LightningTrain, run: StepRun, *, one_shape: bool) -> Iterator[None]:
    """Inside, the network computes as fast as the config says, and afterwards as it was loaded.

    `one_shape`: all examples have the same number of tokens. Raises StepError for what the model does not
    bear.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(attending(network, config, run))
        if config.precision == "fp8":
            stack.enter_context(products_in_fp8(network, run))
        if config.compile:
            stack.enter_context(compiled_layers(network, run, one_shape=one_shape))
        yield


def draws_random_numbers(network: nn.Module) -> bool:
    """Whether it drops anything while learning: layers of its own or an adapter's, or inside attention."""
    layers = any(
        getattr(module, "p", 0) for module in network.modules() if "Dropout" in type(module).__name__
    )
    told = bare_network(network).config.to_dict()
    shares = [value for name, value in told.items() if "drop" in name and isinstance(value, int | float)]
    return layers or any(shares)


def recompute(network: nn.Module, *, random: bool) -> None:
    """Keep each layer's inputs only, and compute the rest again for the gradients.

    `random`: the same random numbers are drawn the second time.
    """
    bare = bare_network(network)
    # the second is what older transformers call it
    enable = getattr(bare, "activation_checkpointing_enable", None) or bare.gradient_checkpointing_enable
    enable({"use_reentrant": False, "preserve_rng_state": random})
