from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, MistralConfig, MistralForCausalLM

from llmops_core.artifacts import Model
from llmops_eval.encoding import Encoded, encode
from llmops_eval.language_model import InterruptedBatchError, LanguageModel
from tests.llmops_eval.conftest import PAIRS, messages


@pytest.fixture(scope="module")
def rows(tokenizer: Any) -> list[Encoded]:
    return [encode(messages(*pair), tokenizer) for pair in PAIRS]


def llama(base: Model, tokenizer: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(base.folder).eval()


def mistral(base: Model, tokenizer: Any) -> Any:
    """Its attention sees only a window, so beginnings cannot be shared and rows cannot leave a batch."""
    torch.manual_seed(1)
    shape = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
        sliding_window=16,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return MistralForCausalLM(shape).eval()


def written_alone(network: Any, row: Encoded, limit: int, ends: Sequence[int]) -> list[int]:
    ids = torch.tensor([row.prompt])
    says = GenerationConfig(do_sample=False, max_new_tokens=limit, eos_token_id=list(ends), pad_token_id=0)
    found = network.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=says)
    new = found[0, ids.shape[1] :].tolist()
    return new[:-1] if new and new[-1] in ends else new


@pytest.mark.parametrize("make", [llama, mistral])
def test_likelihoods_are_those_of_a_plain_loop(make: Any, base: Model, tokenizer: Any, rows: Any) -> None:
    network = make(base, tokenizer)
    found = LanguageModel(network, rows, set(), threading.Event()).likelihoods(rows)
    for row, told in zip(rows, found, strict=True):
        nats = 0.0
        for place, token in enumerate(row.answer):
            seen = torch.tensor([row.before + row.answer[:place]])
            with torch.no_grad():
                nats -= float(torch.log_softmax(network(input_ids=seen).logits[0, -1].double(), -1)[token])
        assert told.nll == pytest.approx(nats, rel=1e-4)
        assert told.tokens == len(row.answer)


@pytest.mark.parametrize("make", [llama, mistral])
def test_a_padded_batch_writes_what_each_row_writes_alone(
    make: Any, base: Model, tokenizer: Any, rows: Any
) -> None:
    network = make(base, tokenizer)
    free = [written_alone(network, row, 16, []) for row in rows]
    # ends chosen so that rows finish at different times, and one never does
    ends = {free[0][3], free[2][9]}
    found = LanguageModel(network, rows, ends, threading.Event()).generations(rows, 16)
    assert found == [written_alone(network, row, 16, sorted(ends)) for row in rows]
    assert len({len(answer) for answer in found}) > 1


def test_the_system_prompt_is_read_once_where_attention_is_full(
    base: Model, tokenizer: Any, rows: Any
) -> None:
    beginning = len(tokenizer("<|start|>system\nYou help.<|end|>\n<|start|>user\n")["input_ids"])
    full = LanguageModel(llama(base, tokenizer), rows, set(), threading.Event())
    windowed = LanguageModel(mistral(base, tokenizer), rows, set(), threading.Event())
    assert full.shared == beginning
    assert windowed.shared == 0


def test_progress_never_passes_the_whole(base: Model, tokenizer: Any, rows: Any) -> None:
    told: list[float] = []
    model = LanguageModel(llama(base, tokenizer), rows, set(), threading.Event())
    model.generations(rows, 5, told.append)
    assert told == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_a_stopped_model_gives_up_between_tokens(base: Model, tokenizer: Any, rows: Any) -> None:
    stop = threading.Event()
    model = LanguageModel(llama(base, tokenizer), rows, set(), stop)
    told: list[float] = []

    def advanced(share: float) -> None:
        told.append(share)
        stop.set()

    with pytest.raises(InterruptedBatchError):
        model.generations(rows, 5, advanced)
    assert told == [0.2]
