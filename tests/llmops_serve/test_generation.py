"""Generation: rows side by side write what each would write alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from llmops_serve.generation import Batch, GivenUpError, can_batch, chooser

GREEDY = chooser(0, 1, None)


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(model_folder).eval()


def yes() -> bool:
    return True


def alone(model: Any, prompt: Sequence[int], count: int) -> list[int]:
    """The likeliest continuation, from transformers' own generate."""
    out = model.generate(
        torch.tensor([list(prompt)]), max_new_tokens=count, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    return [int(token) for token in out[0][len(prompt) :]]


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_come_and_go_write_what_each_writes_alone(model: Any, seed: int) -> None:
    chance = random.Random(seed)
    batch, playing, done = Batch(model), list[dict[str, Any]](), 0
    while done < 8:
        if len(playing) < 4 and chance.random() < 0.6:
            prompt = [chance.randrange(2, 300) for _ in range(chance.randrange(1, 20))]
            first = batch.join(prompt, GREEDY, yes)
            playing.append({"prompt": prompt, "out": [first], "count": chance.randrange(1, 12)})
        elif playing:
            for row, token in zip(playing, batch.step(), strict=True):
                row["out"].append(token)
        over = [row for row in playing if len(row["out"]) >= row["count"]]
        for row in over:
            assert row["out"] == alone(model, row["prompt"], len(row["out"]))
        batch.keep([index for index, row in enumerate(playing) if row not in over])
        playing = [row for row in playing if row not in over]
        done += len(over)


def test_a_prompt_read_in_parts_is_the_same_prompt(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = list(range(2, 60))
    whole = alone(model, prompt, 5)
    monkeypatch.setattr("llmops_serve.generation.PREFILL_TOKENS", 7)
    batch = Batch(model)
    assert [batch.join(prompt, GREEDY, yes), *(batch.step()[0] for _ in range(4))] == whole


def test_a_prompt_nobody_waits_for_is_given_up_and_leaves_the_rest_alone(model: Any) -> None:
    batch = Batch(model)
    first = batch.join([5, 6, 7], GREEDY, yes)
    with pytest.raises(GivenUpError):
        batch.join([8, 9], GREEDY, lambda: False)
    assert [first, batch.step()[0]] == alone(model, [5, 6, 7], 2)


def test_a_model_with_a_sliding_window_is_not_batched(model: Any) -> None:
    assert can_batch(model)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    small = MistralConfig(vocab_size=10, num_key_value_heads=2, sliding_window=4, **shape)
    assert not can_batch(MistralForCausalLM(small))


def test_one_seed_gives_one_answer_and_another_another() -> None:
    logits = torch.zeros(1000)

    def drawn(seed: int | None) -> list[int]:
        choose = chooser(1.0, 1.0, seed)
        return [choose(logits) for _ in range(5)]

    assert drawn(3) == drawn(3) != drawn(4)
    assert drawn(-1) == drawn(-1)
    assert drawn(None) != drawn(None)


def test_top_p_leaves_the_fewest_tokens_that_reach_it() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    for top_p, expected in [(0, {1}), (0.4, {1}), (0.6, {1, 3}), (0.8, {1, 2, 3}), (1, {0, 1, 2, 3})]:
        choose = chooser(1.0, top_p, 0)
        assert {choose(logits) for _ in range(300)} == expected


def test_a_lower_temperature_takes_the_likeliest_more_often() -> None:
    logits = torch.tensor([1.0, 2.0])
    often = {}
    for temperature in (0.25, 1.0, 2.0):
        choose = chooser(temperature, 1.0, 0)
        often[temperature] = sum(choose(logits) for _ in range(500)) / 500
    assert often[0.25] == pytest.approx(0.98, abs=0.02)
    assert often[1.0] == pytest.approx(0.73, abs=0.06)
    assert often[2.0] == pytest.approx(0.62, abs=0.06)
