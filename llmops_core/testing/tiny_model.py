"""Writes a whole tiny language model with nothing but the standard library.

A random Llama of 27,000 parameters in the Hugging Face layout, whose tokens are bytes: what a plugin
that trains, measures or serves a model can be tried on in seconds. `transformers` loads it.
"""

from __future__ import annotations

import json
import math
import random
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WIDTH = 32
INNER = 64
LAYERS = 2
HEADS = 4
KEY_HEADS = 2
CONTEXT = 256
"""Tokens."""
SPREAD = 0.3
"""Standard deviation of the weights: wide, so that two models of this kind differ in what they say."""
START, END = "<|start|>", "<|end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


def write(folder: Path, seed: int) -> int:
    """Write config, weights and tokenizer into `folder`; gives the number of parameters."""
    vocabulary = [*byte_letters(), START, END]
    tensors = dict(_tensors(random.Random(seed), len(vocabulary)))
    _write_weights(folder / "model.safetensors", tensors)
    for name, document in (
        ("config.json", _config(len(vocabulary))),
        ("tokenizer.json", _tokenizer(vocabulary)),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        (folder / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return sum(math.prod(shape) for shape, _ in tensors.values())


def byte_letters() -> list[str]:
    """The letter that stands for each of the 256 bytes in byte-level tokenizers.

    Visible Latin-1 letters stand for themselves; every other byte takes the next letter from U+0100 on.
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(visible)
    return sorted([*map(chr, visible), *(chr(0x100 + number) for number in range(others))])


def _tensors(draw: random.Random, words: int) -> Iterator[tuple[str, tuple[tuple[int, ...], array[float]]]]:
    keys = WIDTH // HEADS * KEY_HEADS
    yield "model.embed_tokens.weight", _random(draw, words, WIDTH)
    for layer in range(LAYERS):
        shapes = {
            "self_attn.q_proj": (WIDTH, WIDTH),
            "self_attn.k_proj": (keys, WIDTH),
            "self_attn.v_proj": (keys, WIDTH),
            "self_attn.o_proj": (WIDTH, WIDTH),
            "mlp.gate_proj": (INNER, WIDTH),
            "mlp.up_proj": (INNER, WIDTH),
            "mlp.down_proj": (WIDTH, INNER),
        }
        for name, shape in shapes.items():
            yield f"model.layers.{layer}.{name}.weight", _random(draw, *shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{name}.weight", _ones()
    yield "model.norm.weight", _ones()


def _random(draw: random.Random, *shape: int) -> tuple[tuple[int, ...], array[float]]:
    return shape, array("f", (draw.gauss(0, SPREAD) for _ in range(math.prod(shape))))


def _ones() -> tuple[tuple[int, ...], array[float]]:
    return (WIDTH,), array("f", [1.0] * WIDTH)


def _write_weights(path: Path, tensors: dict[str, tuple[tuple[int, ...], array[float]]]) -> None:
    """The safetensors format: the header's length (8 bytes), the header as JSON, the numbers."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (shape, numbers) in tensors.items():
        size = len(numbers) * numbers.itemsize
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(numbers.tobytes() for _, numbers in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def _config(words: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": WIDTH // HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "initializer_range": SPREAD,
        "tie_word_embeddings": True,
        "vocab_size": words,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
        "dtype": "float32",
    }


def _tokenizer(vocabulary: list[str]) -> dict[str, Any]:
    special = [
        {"id": place, "content": word, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for place, word in enumerate(vocabulary)
        if word in (START, END)
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "vocab": {word: place for place, word in enumerate(vocabulary[:-2])},
            "merges": [],
        },
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "model_max_length": CONTEXT,
    }
