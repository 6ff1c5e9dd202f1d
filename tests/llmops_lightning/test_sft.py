"""The loss: exact under padding and accumulation, and the same with the head on loss rows only."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

from llmops_core.artifacts import Model
from llmops_lightning.causal import head_can_wait
from llmops_lightning.gradients import Threads, set_gradients
from llmops_lightning.objective import Example, Tokens
from llmops_lightning.sft import SftObjective
from llmops_lightning.spread import Learner, MicroBatch


def made(length: int, weight: int, seed: int) -> Example:
    ids = torch.randint(1, 200, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return Example.of(Tokens(tuple(ids), (-100,) * (length - weight) + tuple(ids[length - weight :])))


EXAMPLES = [made(9, 2, 0), made(30, 11, 1), made(17, 1, 2), made(21, 20, 3)]


def gradients(network: Any, objective: SftObjective, rows_each: int) -> dict[str, torch.Tensor]:
    network.zero_grad()
    weight = sum(example.weight for example in EXAMPLES)
    parts = [EXAMPLES[at : at + rows_each] for at in range(0, len(EXAMPLES), rows_each)]
    threads = Threads(2, fixed=2)
    try:
        set_gradients(
            Learner(network, objective),
            [MicroBatch(objective.collate([[one] for one in part])) for part in parts],
            weight,
            threads,
        )
    finally:
        threads.close()
    return {name: one.grad for name, one in network.named_parameters()}


def test_accumulation_gives_the_gradient_of_the_whole_batch(base: Model, tokenizer: Any) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder)
    objective = SftObjective(tokenizer, head_waits=True)
    whole, parts = gradients(network, objective, 4), gradients(network, objective, 1)
    for name, gradient in whole.items():
        assert torch.allclose(gradient, parts[name], atol=1e-6), name
        assert gradient.abs().max() > 1e-4, name


def test_the_loss_is_what_transformers_computes_with_mask_and_all_scores(base: Model, tokenizer: Any) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder)
    batch = SftObjective(tokenizer).collate([[one] for one in EXAMPLES])
    lengths = torch.tensor([[example.length] for example in EXAMPLES])
    mask = (torch.arange(batch["ids"].shape[1])[None] < lengths).long()
    mean = network(input_ids=batch["ids"], attention_mask=mask, labels=batch["labels"]).loss
    weight = sum(example.weight for example in EXAMPLES)
    for waits in (False, True):
        loss = SftObjective(tokenizer, head_waits=waits).loss(network, batch) / weight
        assert math.isclose(loss.item(), mean.item(), rel_tol=1e-6)


def test_the_head_waits_where_the_scores_are_plain() -> None:
    plain = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=32)).eval()
    assert head_can_wait(plain)


def test_the_head_does_not_wait_where_the_model_bends_its_scores() -> None:
    config = Gemma2Config(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.05,
    )
    assert not head_can_wait(Gemma2ForCausalLM(config).eval())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_things_done_at_once_come_in_order(count: int) -> None:
    threads = Threads(3)
    try:
        assert list(threads.in_order(lambda n: n * n, range(7), count)) == [0, 1, 4, 9, 16, 25, 36]
    finally:
        threads.close()


def test_more_threads_are_taken_only_where_they_are_faster() -> None:
    threads = Threads(2)
    try:
        tried = []
        for _ in range(5):
            tried.append(threads.count())
            threads.timed(lambda: None, 1)
        assert tried == [1, 1, 1, 2, 2]
        threads.speeds = {1: 100.0, 2: 104.0}
        assert threads.count() == 1
        threads.speeds = {1: 100.0, 2: 180.0}
        assert threads.count() == 2
    finally:
        threads.close()
