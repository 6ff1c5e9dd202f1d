"""Which tokens have loss, against masks written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from llmops_core.errors import DataError, StepError
from llmops_lightning.masking import check_tokenizer, encode

DIALOGUE = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "bc"},
    {"role": "user", "content": "d"},
    {"role": "assistant", "content": "é"},
]


def learned(messages: list[dict[str, str]], tokenizer: Any) -> list[str]:
    """The runs of tokens with loss, as text."""
    example = encode(messages, tokenizer)
    runs: list[list[int]] = []
    previous = -100
    for label in example.labels:
        if label != -100:
            if previous == -100:
                runs.append([])
            runs[-1].append(label)
        previous = label
    return [tokenizer.decode(run) for run in runs]


def test_every_turn_of_the_assistant_has_loss_up_to_its_terminator(tokenizer: Any) -> None:
    assert learned(DIALOGUE, tokenizer) == ["bc<|end|>", "é<|end|>"]


def test_labels_are_the_tokens_themselves(tokenizer: Any) -> None:
    example = encode(DIALOGUE, tokenizer)
    assert len(example.labels) == len(example.ids)
    assert all(label in (-100, token) for token, label in zip(example.ids, example.labels, strict=True))
    assert example.weight == 3 + 3  # b, c, end; two bytes of é, end


def test_there_is_one_beginning_of_sequence(make_tokenizer: Callable[..., Any]) -> None:
    template = "<|start|>{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}"
    template += "{% if add_generation_prompt %}assistant:{% endif %}"
    tokenizer = make_tokenizer(template)
    ids = encode(DIALOGUE, tokenizer).ids
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids[0] == tokenizer.bos_token_id
    assert learned(DIALOGUE, tokenizer) == ["bc<|end|>", "é<|end|>"]


def test_a_tokenizer_that_opens_texts_by_itself_does_not_open_a_dialogue_twice(
    make_tokenizer: Callable[..., Any],
) -> None:
    template = "<|start|>{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}"
    tokenizer = make_tokenizer(template + "{% if add_generation_prompt %}assistant:{% endif %}")
    start = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A", special_tokens=[("<|start|>", start)]
    )
    assert tokenizer("a")["input_ids"][0] == start
    assert encode(DIALOGUE, tokenizer).ids.count(start) == 1
    assert learned(DIALOGUE, tokenizer) == ["bc<|end|>", "é<|end|>"]


def test_an_empty_answer_teaches_the_terminator(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]
    assert learned(messages, tokenizer) == ["<|end|>"]


def test_a_template_that_rewrites_what_it_wrote_is_refused(make_tokenizer: Callable[..., Any]) -> None:
    forgetting = (
        "{% for m in messages %}<|start|>{{ m.role }}\n"
        "{% if m.role == 'user' or loop.last %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
    )
    with pytest.raises(DataError, match="differently when more follows"):
        encode(DIALOGUE, make_tokenizer(forgetting))


def test_a_template_that_never_ends_a_turn_is_refused(make_tokenizer: Callable[..., Any]) -> None:
    endless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    endless += "{% if add_generation_prompt %}assistant: {% endif %}"
    with pytest.raises(DataError, match="never stop"):
        encode(DIALOGUE, make_tokenizer(endless))


def test_a_template_that_refuses_a_role_is_told_with_its_own_words(
    make_tokenizer: Callable[..., Any],
) -> None:
    strict = "{% if messages[0].role != 'user' %}{{ raise_exception('no system role') }}{% endif %}"
    with pytest.raises(DataError, match="no system role"):
        encode([{"role": "system", "content": "s"}, *DIALOGUE], make_tokenizer(strict))


def test_a_model_without_a_chat_template_is_refused(make_tokenizer: Callable[..., Any]) -> None:
    with pytest.raises(StepError, match="no chat template"):
        check_tokenizer(make_tokenizer(None))
