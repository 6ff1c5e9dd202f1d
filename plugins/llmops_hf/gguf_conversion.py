"""GGUF to the Hugging Face layout: fp32 safetensors, configuration and tokenizer."""

from __future__ import annotations

import contextlib
import io
import logging as standard
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from llmops_core.errors import StepError
from llmops_core.step import StepRun

WEIGHTS_ONLY: Any = {"local_files_only": True, "trust_remote_code": False}
"""Said outright: left unsaid, transformers asks on standard input whether to run code beside the weights."""
NOT_CONTENT = ("_name_or_path", "_model_name_or_path")
"""Facts of a configuration that say where it lay, or what it was called, not what it is."""


def convert(file: Path, folder: Path, run: StepRun) -> None:
    """Write the model in `file` to `folder`; the same file always gives the same bytes.

    Holds the weights once as fp32 beside the file itself. Raises StepError for an architecture that
    transformers cannot read from GGUF, and for a file that is not whole.
    """
    run.progress(0, 3)
    with _quiet() as said:
        try:
            model = AutoModelForCausalLM.from_pretrained(
                str(file.parent), gguf_file=file.name, dtype=torch.float32, **WEIGHTS_ONLY
            )
            run.progress(1, 3)
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name, **WEIGHTS_ONLY)
        except (ValueError, KeyError, NotImplementedError, IndexError, RuntimeError) as error:
            raise StepError(
                f"this GGUF cannot be converted: {_first_line(error)}",
                where=file.name,
                remedy="Check that it arrived whole; else take the model's safetensors.",
            ) from error
    _check_complete(model, said.getvalue(), file)
    run.progress(2, 3)
    _save(model, tokenizer, folder)
    run.progress(3, 3)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    # save_pretrained refuses a model that came from GGUF; this writes the same layout
    save_torch_state_dict(_tied_once(model.state_dict()), str(folder))
    for shard in folder.glob("*.safetensors"):
        shard.chmod(0o644)
    config = model.config
    config.architectures = [type(model).__name__]
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    for name in NOT_CONTENT:
        if name in config.__dict__:
            delattr(config, name)
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tied_once(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights, of those that share memory the first (the embedding, not the head).

    Left to the library, it would note what it dropped beside its other note, in an order that changes
    from one process to the next.
    """
    first = {tensor.data_ptr(): name for name, tensor in reversed(list(state.items()))}
    return {name: tensor for name, tensor in state.items() if first[tensor.data_ptr()] == name}


def _check_complete(model: Any, said: str, file: Path) -> None:
    """A weight the file lacks would silently be random."""
    if "newly initialized" in said or "MISSING" in said:
        raise StepError(
            "this GGUF lacks weights that the architecture needs",
            where=file.name,
            remedy="Take the model's safetensors.",
        )
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise StepError(f"the weight {name} holds numbers that are not finite", where=file.name)


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keep the libraries' bars off the terminal; what they say is returned for us to judge."""
    said = io.StringIO()
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    handler = _handler(said)
    logging.set_verbosity(standard.WARNING)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.add_handler(handler)
    logging.disable_default_handler()
    try:
        with contextlib.redirect_stderr(said):
            yield said
    finally:
        logging.enable_default_handler()
        logging.remove_handler(handler)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _handler(said: io.StringIO) -> Any:
    return standard.StreamHandler(said)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
