"""Loads models, sharing the weights of a base between it and what was tuned from it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from llmops_core.artifacts import Model
from llmops_core.errors import StepError

WEIGHTS_ONLY: Any = {"local_files_only": True, "trust_remote_code": False}
"""Said outright: left unsaid, transformers asks on standard input whether to run code beside the weights."""


@dataclass(frozen=True)
class Held:
    """Weights in memory, and the models, root first, whose files went into them."""

    lineage: tuple[str, ...]
    module: Any


def is_adapter(model: Model) -> bool:
    """Whether the folder holds only what is added to the base's weights."""
    return (model.folder / "adapter_config.json").is_file()


def lineage(model: Model) -> tuple[Model, ...]:
    """The model whose folder holds whole weights, then each adapter up to `model`."""
    found = [model]
    while is_adapter(found[0]):
        if found[0].base is None:
            raise StepError(
                f"the model {found[0].name} is an adapter, and the model it was trained on is not known",
                remedy="Give the evaluation a model that names its base.",
            )
        found.insert(0, found[0].base)
    return tuple(found)


def load_tokenizer(model: Model) -> Any:
    """The tokenizer that lies beside the whole weights."""
    return AutoTokenizer.from_pretrained(lineage(model)[0].folder, **WEIGHTS_ONLY)


def load(model: Model, precision: str, held: Held | None = None) -> Held:
    """The model ready to run. `held` is used up: where it is an ancestor, its weights become the model's."""
    line = lineage(model)
    names = tuple(one.digest or str(one.folder) for one in line)
    if held is not None and names[: len(held.lineage)] == held.lineage:
        module, adapters = held.module, line[len(held.lineage) :]
    else:
        module, adapters = _whole(line[0], precision), line[1:]
    for adapter in adapters:
        module = _with_adapter(module, adapter)
    return Held(names, module)


def _whole(model: Model, precision: str) -> Any:
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    with _quiet():
        module: Any = AutoModelForCausalLM.from_pretrained(model.folder, dtype=dtype, **WEIGHTS_ONLY)
    return module.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _with_adapter(module: Any, adapter: Model) -> Any:
    # peft takes seconds to import, and a model without an adapter needs none of it
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    if any(isinstance(part, BaseTunerLayer) for part in module.modules()):
        raise StepError(
            f"{adapter.name} is an adapter over one that changes embeddings tied to the output layer",
            remedy="Train without adapters on the embeddings and the output layer.",
        )
    with _quiet():
        wrapped: Any = PeftModel.from_pretrained(module, str(adapter.folder)).eval()
    if wrapped.active_peft_config.is_prompt_learning:
        raise StepError(
            f"{adapter.name} is tuned by prompt learning, which this evaluation cannot run",
            remedy="Use an adapter that changes weights, such as LoRA.",
        )
    ends = (wrapped.get_input_embeddings(), wrapped.get_output_embeddings())
    if module.config.tie_word_embeddings and any(isinstance(end, BaseTunerLayer) for end in ends):
        # added into one of two tied layers, it would change the other too
        return wrapped.get_base_model()
    # added into the weights it costs nothing a token
    return wrapped.merge_and_unload(safe_merge=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, libraries draw no bars of their own and do not warn of what only their authors can change."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            # peft reads an attribute that transformers renamed
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            # told of tied layers, which are never merged here
            warnings.filterwarnings("ignore", "Model.*tie_word_embeddings", UserWarning)
            yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
