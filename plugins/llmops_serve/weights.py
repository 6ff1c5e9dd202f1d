"""Loads a release's model and tokenizer for serving."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jinja2 import TemplateError
from peft import PeftConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils import logging

from llmops_serve.protocol import ApiError
from llmops_serve.server_settings import ServerSettings

WEIGHTS_ONLY: Any = {"local_files_only": True, "trust_remote_code": False}
"""Said outright: left unsaid, transformers asks on standard input whether to run code beside the weights."""
MERGE_TOLERANCE = 1e-3
"""The most that a log-probability may move when an adapter is added into the weights. Rounding in float32
moves it by 1e-4; neighbouring bfloat16 numbers lie 4e-3 of their size apart."""
WORTH_A_THREAD = 1.25
"""How much faster decoding must get for twice the threads: less is not worth the risk of a busy machine."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer. `context` is the longest sequence it takes, in tokens."""

    model: Any
    tokenizer: Any
    context: int
    end_tokens: frozenset[int]
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def chats(self) -> bool:
        """Whether it knows how a conversation is written."""
        return bool(self.tokenizer.chat_template)

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The tokens of a conversation up to where the assistant speaks. Raises ApiError."""
        if not self.chats:
            raise ApiError(400, "this model has no chat template: use /v1/completions")
        try:
            with self._guard:
                return list(
                    self.tokenizer.apply_chat_template(
                        list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
                    )
                )
        except TemplateError as error:
            raise ApiError(
                400, f"the model's chat template refuses this: {error}", param="messages"
            ) from error

    def encode(self, prompt: str | Sequence[int]) -> list[int]:
        """The tokens of a prompt. Raises ApiError for ids that are no tokens and for an empty prompt."""
        if isinstance(prompt, str):
            with self._guard:
                tokens = list(self.tokenizer(prompt)["input_ids"])
        else:
            tokens = list(prompt)
        vocabulary = self.model.get_input_embeddings().num_embeddings
        if not all(0 <= token < vocabulary for token in tokens):
            raise ApiError(400, f"a token id must be from 0 to {vocabulary - 1}", param="prompt")
        if not tokens:
            raise ApiError(400, "the prompt is empty", param="prompt")
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(
            self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )


def load(settings: ServerSettings, tell: Callable[[str], None]) -> Loaded:
    """The model of a release, its adapter added into the weights where that is exact enough.

    The process is the server's own: bars and notices of the libraries are turned off for good.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.simplefilter("ignore", FutureWarning)
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = settings.dtype
    if dtype == "auto" and device == "cpu":
        dtype = "float32"  # processors without bfloat16 instructions compute it many times slower
    torch.set_num_threads(settings.threads or 1)
    tokenizer = AutoTokenizer.from_pretrained(settings.weights, **WEIGHTS_ONLY)
    model = _model(settings, dtype, device, tokenizer, tell)
    if settings.threads is None and device == "cpu":
        torch.set_num_threads(_measured_threads(model, tell))
    return Loaded(model, tokenizer, settings.context, _end_tokens(model, tokenizer))


def _model(
    settings: ServerSettings, dtype: str, device: str, tokenizer: Any, tell: Callable[[str], None]
) -> Any:
    def read() -> Any:
        model: Any = AutoModelForCausalLM.from_pretrained(settings.weights, dtype=dtype, **WEIGHTS_ONLY)
        for adapter in settings.below:
            if _touches_tied_weights(model, adapter):
                raise ValueError(f"the adapter {adapter} changes a matrix that the model uses twice")
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
        return model.to(device).eval()

    if settings.adapter is None:
        return read()
    with_adapter = PeftModel.from_pretrained(read(), settings.adapter).eval()
    if not settings.merge_adapter or _touches_tied_weights(with_adapter, settings.adapter):
        tell("the adapter stays beside the weights")
        return with_adapter
    probe = tokenizer("The quick brown fox jumps over the lazy dog.", return_tensors="pt")["input_ids"].to(
        device
    )
    before = _chances(with_adapter, probe)
    merged = with_adapter.merge_and_unload()
    moved = float((_chances(merged, probe) - before).abs().max())
    if moved <= MERGE_TOLERANCE:
        tell(f"the adapter was added into the weights; log-probabilities moved by at most {moved:.1e}")
        return merged
    tell(
        f"adding the adapter into the weights moved log-probabilities by {moved:.1e}, more than "
        f"{MERGE_TOLERANCE:.0e}: it stays beside them"
    )
    del merged, with_adapter
    return PeftModel.from_pretrained(read(), settings.adapter).eval()


def _touches_tied_weights(model: Any, adapter: str) -> bool:
    """Whether merging would change a matrix that the model also uses elsewhere."""
    if not getattr(model.config, "tie_word_embeddings", False):
        return False
    config = PeftConfig.from_pretrained(adapter)
    targets = getattr(config, "target_modules", None) or ()
    names = {targets} if isinstance(targets, str) else {*targets, *(config.modules_to_save or ())}
    tied = ("lm_head", "embed_tokens", "all-linear", "wte")
    return any(name.endswith(tied) for name in names)


@torch.inference_mode()
def _chances(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(model(input_ids=tokens).logits.float(), -1)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)


def _measured_threads(model: Any, tell: Callable[[str], None]) -> int:
    """The thread count to decode with: doubled while that pays, always leaving one core over."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    best, speed = 1, _tokens_a_second(model, 1)
    tell(f"1 thread decodes {speed:.1f} tokens/s")
    while best * 2 < cores:
        faster = _tokens_a_second(model, best * 2)
        tell(f"{best * 2} threads decode {faster:.1f} tokens/s")
        if faster < speed * WORTH_A_THREAD:
            break
        best, speed = best * 2, faster
    return best


@torch.inference_mode()
def _tokens_a_second(model: Any, threads: int) -> float:
    """The best of a few single steps, after two to warm up: other processes only ever make it slower."""
    torch.set_num_threads(threads)
    cache, times = DynamicCache(config=model.config), []
    for _ in range(8):
        begun = time.perf_counter()
        model(input_ids=torch.tensor([[1]], device=model.device), past_key_values=cache, use_cache=True)
        times.append(time.perf_counter() - begun)
    return 1 / min(times[2:])
