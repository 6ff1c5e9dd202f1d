from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from llmops_core.errors import DataError, StepError
from llmops_eval.encoding import check_tokenizer, encode, shared_beginning
from llmops_lightning import masking
from tests.llmops_eval.conftest import PAIRS, messages


@pytest.mark.parametrize("pair", PAIRS)
def test_the_scored_tokens_are_those_that_training_puts_loss_on(tokenizer: Any, pair: Any) -> None:
    row, trained = encode(messages(*pair), tokenizer), masking.encode(messages(*pair), tokenizer)
    assert list(row.answer) == [label for label in trained.labels if label != -100]
    assert (row.before + row.answer) == trained.ids[: len(row.before) + len(row.answer)]


def test_the_answer_ends_with_the_mark_that_ends_a_turn(tokenizer: Any) -> None:
    row = encode(messages("Hello", "Hi!"), tokenizer)
    assert tokenizer.decode(row.answer) == "Hi!<|end|>"
    assert tokenizer.decode(row.prompt).endswith("Hello<|end|>\n<|start|>assistant\n")


def test_earlier_answers_are_part_of_the_prompt(tokenizer: Any) -> None:
    row = encode([*messages("Hello", "Hi!"), *messages("Who are you?", "A test.")], tokenizer)
    assert tokenizer.decode(row.answer) == "A test.<|end|>"
    assert "Hi!<|end|>" in tokenizer.decode(row.prompt)


def test_a_conversation_that_ends_with_the_user_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="last message is not the assistant's"):
        encode(messages("Hello", "Hi!")[:1], tokenizer)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ messages | length }}{{ messages[0]['content'] }}<|end|>", "written? differently|writes"),
        (
            "{{ messages[0]['content'] }}{% for one in messages[1:] %}{{ one['content'] }}{% endfor %}",
            "no token",
        ),
        ("{{ raise_exception('no') }}", "refuses it: no"),
    ],
)
def test_a_template_that_hides_the_answer_is_refused(tokenizer: Any, template: str, says: str) -> None:
    own = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
    own.chat_template = template
    with pytest.raises(DataError, match=says):
        encode(messages("Hello", "Hi!"), own)


def test_a_tokenizer_without_a_template_is_refused(tokenizer: Any) -> None:
    own = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
    with pytest.raises(StepError, match="tiny has no chat template"):
        check_tokenizer(own, "tiny")


@given(some.lists(some.lists(some.integers(0, 2), min_size=1).map(tuple), min_size=1))
def test_the_shared_beginning_is_the_longest_that_leaves_each_a_token(
    sequences: list[tuple[int, ...]],
) -> None:
    count = shared_beginning(sequences)
    alike = {sequence[:count] for sequence in sequences}
    longer = {sequence[: count + 1] for sequence in sequences}
    assert len(alike) == 1
    assert all(len(sequence) > count for sequence in sequences)
    assert len(longer) > 1 or min(map(len, sequences)) == count + 1
