"""How a network computes while it learns."""

from __future__ import annotations

from torch import nn

from llmops_lightning.causal import bare_network


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
