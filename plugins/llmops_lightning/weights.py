"""Loads a model's weights and tokenizer for training."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.utils import logging

from llmops_core.artifacts import Model
from llmops_core.errors import StepError

ADAPTER = "adapter_config.json"


def is_adapter(model: Model) -> bool:
    """Whether the folder holds an adapter over `model.base` rather than whole weights."""
    return model.base is not None and (model.folder / ADAPTER).is_file()


def whole(model: Model) -> Model:
    """The model at the bottom, whose folder holds whole weights and the tokenizer."""
    while is_adapter(model) and model.base is not None:
        model = model.base
    return model


def load_tokenizer(model: Model) -> Any:
    """The model's tokenizer."""
    with quiet():
        return AutoTokenizer.from_pretrained(
            str(whole(model).folder), local_files_only=True, trust_remote_code=False
        )


def load_network(model: Model, **how: Any) -> nn.Module:
    """The weights as fp32, any adapters merged in, ready to learn from. Raises StepError.

    `how` is added to the arguments of transformers' from_pretrained.
    """
    if is_adapter(model) and model.base is not None:
        if "quantization_config" in how:
            raise StepError(
                f"{model.name} is an adapter, which cannot be added into 4-bit weights",
                where="model",
                remedy="Train it with tuning.merge=true first, or set tuning.quantise=none.",
            )
        # added in fp32 and rounded once: rounding before would lose what small adapters learned
        merged = _merged(load_network(model.base), model)
        return merged.to(how.get("dtype", torch.float32))
    return load_folder(model.folder, model.name, **how)


def load_folder(folder: Path, name: str, **how: Any) -> nn.Module:
    """The weights that lie in a folder, as fp32. Raises StepError."""
    with quiet():
        try:
            told = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
            kind = AutoModelForSeq2SeqLM if told.is_encoder_decoder else AutoModelForCausalLM
            # False, not unset: unset, transformers would ask whether to run code that lies beside weights
            safe = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
            arguments = {"dtype": torch.float32, **safe, **how}
            network: nn.Module = kind.from_pretrained(str(folder), **arguments)
            for module in network.modules() if "quantization_config" in how else ():
                # else a first answer packs 4-bit weights for inference, and gradients stop at them
                module.support_avx512bf16_for_cpu = False
        except (OSError, ValueError) as error:
            what = str(error).strip().splitlines()[0]
            raise StepError(f"the weights of {name} cannot be loaded: {what}", where="model") from error
    return network


def expect_decoder(network: nn.Module, objective: str) -> None:
    """Refuse a model with an encoder. Raises StepError."""
    told: Any = network.config
    if getattr(told, "is_encoder_decoder", False):
        raise StepError(
            f"the objective {objective} needs a model without an encoder",
            where="objective",
            remedy="Choose the objective seq2seq.",
        )


def _merged(network: nn.Module, model: Model) -> nn.Module:
    from peft import PeftModel

    says = json.loads((model.folder / ADAPTER).read_text(encoding="utf-8"))
    if says.get("peft_type") != "LORA":
        raise StepError(f"the adapter {model.name} is of a kind that cannot be merged", where="model")
    with quiet():
        tuned: Any = PeftModel.from_pretrained(network, str(model.folder))
        merged: nn.Module = tuned.merge_and_unload(safe_merge=True)
    return merged


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the bars of transformers off the terminal, a deprecation that peft causes inside it, and what
    bitsandbytes, where there is one, says of kernels that only inference would use."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    of_bits = getLogger("bitsandbytes")
    level = of_bits.level
    of_bits.setLevel(ERROR)
    try:
        with warnings.catch_warnings():
            # merging into tied weights is compared and refused, not warned of
            warnings.filterwarnings("ignore", "Model.*tie_word_embeddings", UserWarning)
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        of_bits.setLevel(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """For a network that nothing wraps: saving it does not import DeepSpeed, which takes seconds, to ask
    whether that does."""
    from accelerate.utils import other

    before = other.is_deepspeed_available
    other.is_deepspeed_available = lambda: False
    try:
        yield
    finally:
        other.is_deepspeed_available = before
