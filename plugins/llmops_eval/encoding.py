"""Rows as tokens: what the model is asked, and the tokens of the reference answer that are scored.

The scored tokens are those that supervised fine-tuning puts loss on in the row's last turn: from where
the chat template asks for an answer up to and including the token that ends the turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmops_core.errors import DataError, StepError

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Encoded:
    """A row as token ids. `prompt` asks for an answer; `before` and `answer` are the whole conversation.

    `before` is `prompt` unless the tokenizer joins the prompt's end with the answer's beginning.
    """

    prompt: tuple[int, ...]
    before: tuple[int, ...]
    answer: tuple[int, ...]


def check_tokenizer(tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer that conversations cannot be scored with."""
    if not tokenizer.chat_template:
        raise StepError(
            f"the model {name} has no chat template, so messages cannot become text",
            remedy="Take the instruction-tuned model, or put chat_template.jinja beside its tokenizer.",
        )
    if not tokenizer.is_fast:
        raise StepError(
            f"the tokenizer of {name} does not tell which characters a token stands for",
            remedy="Save it once as tokenizer.json (a fast tokenizer).",
        )


def encode(messages: Messages, tokenizer: Any) -> Encoded:
    """A conversation whose last message is the answer to score. Raises DataError."""
    if not messages or messages[-1].get("role") != "assistant":
        raise DataError(
            "its last message is not the assistant's, so there is no answer to compare with",
            remedy="End each conversation of the split with an assistant's message.",
        )
    asking = _render(messages[:-1], tokenizer, asking=True)
    whole = _render(messages, tokenizer, asking=False)
    if not whole.startswith(asking):
        raise DataError(
            "the chat template writes the conversation differently when its answer is there, so the answer's "
            "tokens cannot be told apart",
            remedy="Use a chat template that only appends.",
        )
    # the template writes every special token itself; asking for them again would double the first
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    start = sum(opens < len(asking) for opens, _ in encoded["offset_mapping"])
    prompt = tokenizer(asking, add_special_tokens=False)["input_ids"]
    return Encoded(tuple(prompt), tuple(ids[:start]), tuple(_to_terminator(ids[start:], tokenizer)))


def _to_terminator(answer: Sequence[int], tokenizer: Any) -> Sequence[int]:
    """The answer's tokens through the one that ends the turn; what the template adds is not scored."""
    terminators = {tokenizer.eos_token_id, *tokenizer.added_tokens_decoder}
    for end in range(len(answer), 0, -1):
        if answer[end - 1] in terminators:
            return answer[:end]
        if tokenizer.decode([answer[end - 1]]).strip():
            break
    raise DataError(
        "the chat template ends the answer with no token that ends a turn",
        remedy="Add the end-of-sequence token after the assistant's turn in the chat template.",
    )


def _render(messages: Messages, tokenizer: Any, *, asking: bool) -> str:
    try:
        return str(
            tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asking)
        )
    except Exception as error:  # a template is a program of the model's author: it may raise anything
        raise DataError(f"the chat template refuses it: {error}") from error


def shared_beginning(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all sequences begin with alike, leaving each at least one of its own."""
    if not sequences:
        return 0
    first, last = min(sequences), max(sequences)
    limit = min(len(sequence) for sequence in sequences) - 1
    for place in range(max(limit, 0)):
        if first[place] != last[place]:
            return place
    return max(limit, 0)
