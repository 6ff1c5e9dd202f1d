"""Dialogues as tokens, with the assistant's turns told apart from everything else.

The text comes from the model's own chat template. A turn of the assistant begins where the template,
given the messages before it, asks for an answer, and ends with the token that ends a turn; both are found
by rendering beginnings of the dialogue, so a template needs no marks of its own. A template whose
beginnings are not beginnings of the whole is refused: its mask would be a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmops_core.errors import DataError, StepError
from llmops_lightning.objective import NO_LOSS, Tokens


def check_tokenizer(tokenizer: Any) -> None:
    """Refuse a tokenizer that dialogues cannot be learned with."""
    if not tokenizer.chat_template:
        raise StepError(
            "the model has no chat template, so messages cannot become text",
            where="model",
            remedy="Take the instruction-tuned model, or put chat_template.jinja beside its tokenizer.",
        )
    if not tokenizer.is_fast:
        raise StepError(
            "the model's tokenizer does not tell which characters a token stands for",
            where="model",
            remedy="Save it once as tokenizer.json (a fast tokenizer).",
        )


def tokenizer_identity(tokenizer: Any) -> str:
    """All that decides what tokens a text becomes."""
    inner = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else repr(tokenizer)
    return f"{inner}\n{tokenizer.chat_template}\n{sorted(tokenizer.special_tokens_map.items())}"


def encode(messages: Sequence[Mapping[str, Any]], tokenizer: Any, *, last_only: bool = False) -> Tokens:
    """A dialogue as tokens and labels, whole. Raises DataError when no sure mask can be made.

    `last_only`: of the assistant's turns only the last one has loss.
    """
    text = rendered(messages, tokenizer, asking=False)
    # The template writes every special token itself; asking for them again would double the first.
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    labels = [NO_LOSS] * len(ids)
    turns = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    for at in turns[-1:] if last_only else turns:
        start, end = _turn(messages, at, text, tokenizer)
        inside = [place for place, (opens, _) in enumerate(offsets) if start <= opens < end]
        for place in _to_terminator(inside, ids, tokenizer):
            labels[place] = ids[place]
    if labels:
        labels[0] = NO_LOSS
    return Tokens(tuple(ids), tuple(labels))


def _turn(messages: Sequence[Mapping[str, Any]], at: int, text: str, tokenizer: Any) -> tuple[int, int]:
    """Where in the text an assistant's turn begins and ends, in characters."""
    before = rendered(messages[:at], tokenizer, asking=True)
    through = rendered(messages[: at + 1], tokenizer, asking=False) if at + 1 < len(messages) else text
    if not (text.startswith(before) and text.startswith(through) and len(before) < len(through)):
        raise DataError(
            "the chat template writes a dialogue's beginning differently when more follows, so the "
            "answers cannot be told apart surely",
            remedy="Use dialogues of one answer, or a chat template that only appends.",
        )
    return len(before), len(through)


def _to_terminator(inside: Sequence[int], ids: Sequence[int], tokenizer: Any) -> Sequence[int]:
    """A turn's tokens up to the one that ends it; what the template writes after is never generated."""
    enders = {tokenizer.eos_token_id, *tokenizer.added_tokens_decoder}
    for count in range(len(inside), 0, -1):
        if ids[inside[count - 1]] in enders:
            return inside[:count]
        if tokenizer.decode([ids[inside[count - 1]]]).strip():
            break
    raise DataError(
        "the chat template ends the assistant's turn with no token that ends it, so a model tuned with it "
        "would never stop",
        remedy="Add the end-of-sequence token after the assistant's turn in the chat template.",
    )


def rendered(messages: Sequence[Mapping[str, Any]], tokenizer: Any, *, asking: bool) -> str:
    """A dialogue as text; `asking`: up to where the assistant speaks next. Raises DataError."""
    try:
        return str(
            tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asking)
        )
    except Exception as error:  # a template is a program of the model's author: it may raise anything
        raise DataError(f"the chat template refuses it: {error}") from error
