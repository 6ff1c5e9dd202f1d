"""A tiny Llama with a tokenizer of its own, dialogues, and a step to train in."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmops_core.artifacts import Dataset, Model
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning import crew
from llmops_lightning.config import Full, LightningTrain, Lora, Sft, SingleStrategy
from llmops_lightning.plugin import llmops_implementations

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def _tokenizer(template: str | None = TEMPLATE) -> Any:
    """Bytes as tokens, and two special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: at for at, letter in enumerate(alphabet)}
    inner = Tokenizer(models.BPE(vocab=words, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|end|>"
    )
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., Any]:
    return _tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return _tokenizer()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Model:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    network = LlamaForCausalLM(config)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Model(folder=folder, name="tiny", parameters=network.num_parameters(), context=256)


def _dialogue(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _make_data(folder: Path, rows: list[dict[str, Any]], validation: list[dict[str, Any]]) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split, of_split in (("train", rows), ("validation", validation)):
        lines = "".join(json.dumps(row) + "\n" for row in of_split)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        counts[split] = len(of_split)
    return Dataset(folder=folder, rows=counts, shape="messages")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    rows = [_dialogue(f"what is {n}?", f"it is {n * n}, " + "well " * (n % 5)) for n in range(24)]
    return _make_data(tmp_path / "data", rows, rows[:4])


@pytest.fixture
def dialogue() -> Callable[..., dict[str, Any]]:
    return _dialogue


@pytest.fixture
def make_data() -> Callable[..., Dataset]:
    return _make_data


def load_part(part: Part) -> Callable[..., Any]:
    found = {(one.group, one.name): one for one in llmops_implementations()}[part.group, part.use]
    module, _, function = found.target.partition(":")
    return getattr(importlib.import_module(module), function)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., StepRun]:
    def make(name: str = "run", **changes: Any) -> StepRun:
        folder, scratch = tmp_path / name, tmp_path / f"{name}-scratch"
        folder.mkdir()
        scratch.mkdir(exist_ok=True)
        run = StepRun(
            folder=folder,
            scratch=scratch,
            cache=tmp_path,
            state=tmp_path,
            seed=3,
            loader=load_part,
            step="train",
        )
        return replace(run, **changes)

    return make


def _settings(*, tuning: Lora | Full | None = None, **changes: Any) -> LightningTrain:
    """The configuration as the core builds it, its parts filled in."""
    tuning = tuning or Lora(r=4)
    built = {
        "tuning": Part("train/tuning", "lora" if isinstance(tuning, Lora) else "full", tuning),
        "strategy": Part("train/strategy", "single", SingleStrategy(accelerator="cpu")),
        "objective": Part("train/objective", "sft", Sft()),
        "max_steps": 6,
        "batch_size": 2,
        "accumulate": 2,
    }
    return LightningTrain(**{**built, **changes})


@pytest.fixture
def settings() -> Callable[..., LightningTrain]:
    return _settings


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes that a training starts."""
    found: list[Any] = []
    start = crew._start

    def note(orders: Any, rank: int) -> Any:
        found.append(start(orders, rank))
        return found[-1]

    monkeypatch.setattr(crew, "_start", note)
    return found
