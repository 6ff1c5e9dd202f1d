"""Which kernel computes attention while a network learns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.causal import bare_network
from llmops_lightning.config import LightningTrain

FLEX = "flex_attention"
DROPS = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob")
"""What configurations call the share of attention that is dropped."""


@contextlib.contextmanager
def attending(network: nn.Module, config: LightningTrain, run: StepRun) -> Iterator[None]:
    """Inside, attention is computed as the config says; a model is loaded with one that any device has.

    Raises StepError where the model does not go with it.
    """
    bare = bare_network(network)
    before, wanted = bare.config._attn_implementation, kernel(bare, config)
    if wanted is None or wanted == before:
        yield
        return
    try:
        bare.set_attn_implementation(wanted)
    except (ValueError, ImportError) as error:
        raise _unfit(wanted, str(error).splitlines()[0], run) from error
    # a model that cannot change it only logs that
    if bare.config._attn_implementation != wanted:
        raise _unfit(wanted, "it cannot change how it attends", run)
    if wanted == FLEX and drops_attention(bare):
        raise _unfit(wanted, "it drops some of what it attends to", run)
    try:
        yield
    finally:
        bare.set_attn_implementation(before)


def kernel(bare: Any, config: LightningTrain) -> str | None:
    """What transformers calls the kernel to learn with; None: the one that the model was loaded with."""
    if config.attention == "flex":
        return FLEX
    if config.attention == "flash":
        return flash() or "flash_attention_2"
    if config.attention != "auto":
        return config.attention
    if config.batching != "packs" or not on_gpu(config):
        return None
    if config.precision != "fp32" and bare._supports_flash_attn and (found := flash()):
        return found
    return FLEX if bare._supports_flex_attn and not drops_attention(bare) else None


def flash() -> str | None:
    """The newest FlashAttention that is installed."""
    if is_flash_attn_3_available():
        return "flash_attention_3"
    return "flash_attention_2" if is_flash_attn_2_available() else None


def on_gpu(config: LightningTrain) -> bool:
    """Whether a training computes on an NVIDIA GPU."""
    asked = getattr(config.strategy.config, "accelerator", "auto")
    return asked in ("auto", "gpu") and torch.cuda.is_available()


def drops_attention(bare: Any) -> bool:
    """Whether attention leaves things out at random while learning."""
    told = bare.config.to_dict()
    return any(bool(told.get(name)) for name in DROPS)


def _unfit(wanted: str, why: str, run: StepRun) -> StepError:
    return StepError(
        f"this model does not compute its attention with {wanted}: {why}",
        where=f"{run.step}.attention",
        remedy=f"Set {run.step}.attention=sdpa, or auto.",
    )
