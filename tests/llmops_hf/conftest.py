"""A tiny Llama, as a folder and as GGUF, and a step to open it in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmops_core import events
from llmops_core.step import StepRun

TEMPLATE = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
SPECIAL = ["<|unknown|>", "<|start|>", "<|end|>"]
HEADS, KEY_HEADS, LAYERS = 4, 2, 2


def _words() -> list[str]:
    return [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "the"]


MERGES = ["t h", "th e"]


@pytest.fixture(scope="session")
def network() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(_words()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def folder(network: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a folder of safetensors; a test must not write to it."""
    place = tmp_path_factory.mktemp("folder")
    network.save_pretrained(place)
    merges = [tuple(merge.split()) for merge in MERGES]
    inner = Tokenizer(models.BPE(vocab={word: at for at, word in enumerate(_words())}, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=SPECIAL[1], eos_token=SPECIAL[2])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(place)
    return place


def _interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """GGUF stores a head's rotated halves interleaved."""
    rows, columns = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_weights(writer: gguf.GGUFWriter, network: LlamaForCausalLM, missing: str) -> None:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, tensor in network.state_dict().items():
        if name in ("lm_head.weight", missing):
            continue
        weights = tensor.numpy()
        if "q_proj" in name or "k_proj" in name:
            weights = _interleaved(weights, HEADS if "q_proj" in name else KEY_HEADS)
        writer.add_tensor(
            names.get_name(name.removesuffix(".weight")) + ".weight", np.ascontiguousarray(weights)
        )


@pytest.fixture(scope="session")
def write_gguf(network: LlamaForCausalLM) -> Callable[..., Path]:
    """Write the model to a GGUF file, its weights unquantized."""

    def write(file: Path, missing: str = "") -> Path:
        writer = gguf.GGUFWriter(file, "llama")
        writer.add_name("where it lay: /somewhere")
        writer.add_context_length(128)
        writer.add_embedding_length(32)
        writer.add_feed_forward_length(64)
        writer.add_block_count(LAYERS)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KEY_HEADS)
        writer.add_layer_norm_rms_eps(network.config.rms_norm_eps)
        writer.add_rope_freq_base(10000.0)
        writer.add_vocab_size(len(_words()))
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(_words())
        writer.add_token_types([3] * len(SPECIAL) + [1] * (len(_words()) - len(SPECIAL)))
        writer.add_token_merges(MERGES)
        writer.add_unk_token_id(0)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_chat_template(TEMPLATE)
        _write_weights(writer, network, missing)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return file

    return write


@pytest.fixture
def told() -> list[events.Event]:
    return []


@pytest.fixture
def make_run(tmp_path: Path, told: list[events.Event]) -> Callable[..., StepRun]:
    def make(name: str = "out", **changes: Any) -> StepRun:
        place = tmp_path / name
        place.mkdir()
        return StepRun(
            folder=place,
            scratch=tmp_path,
            cache=tmp_path,
            state=tmp_path,
            step="model",
            tell=told.append,
            **changes,
        )

    return make
