"""A tiny random model with a tokenizer and a chat template, and a release of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmops_core.artifacts import Model, Release, Scores
from llmops_core.events import Event
from llmops_core.step import StepRun
from llmops_serve.config import OpenaiServerDeploy
from llmops_serve.server_settings import ServerSettings, settings_for

CONTEXT = 96
TEXT = [
    "The printer does not print.",
    "Restart the router, then wait.",
    "Grüße, 東京!",
    "user assistant system",
]
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' and not loop.first %}"
    "{{ raise_exception('system comes first') }}{% endif %}"
    "{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|end|>", "<|start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(TEXT * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture(scope="session")
def model_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.6,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def release(model_folder: Path) -> Release:
    scores = Scores(folder=model_folder, rows=1, values={}, baseline={})
    model = Model(folder=model_folder, digest="m" * 64, name="tiny", parameters=50_000, context=CONTEXT)
    return Release(
        folder=model_folder,
        digest="d" * 64,
        candidate=model,
        scores=scores,
        gates={"rouge_l": {"value": 0.2, "at_least": 0.1, "passed": True}},
        prompt={},
    )


@pytest.fixture(scope="session")
def settings(release: Release) -> ServerSettings:
    return settings_for(OpenaiServerDeploy(threads=1, max_new_tokens=64), release)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def step(tmp_path: Path, told: list[Event]) -> StepRun:
    run = StepRun(
        folder=tmp_path / "out",
        scratch=tmp_path / "scratch",
        cache=tmp_path / "cache",
        state=tmp_path / "state",
        tell=told.append,
        read_secret=_secret({"KEY": "s3cret-value"}),
    )
    run.folder.mkdir()
    return run


def _secret(known: dict[str, str]) -> Callable[[str], str]:
    return known.__getitem__
