"""The fields of the evaluate stage `answers` and of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llmops_core.settings import Part, parts, setting


@dataclass(frozen=True)
class AnswersEvaluate:
    """Scores the last answer of each held-out conversation."""

    metrics: Mapping[str, Part] = parts("evaluate/metric", doc="What is measured.")
    split: str = setting("test", doc="The split that is scored; training must not have seen it.")
    max_rows: int | None = setting(
        None, doc="Score at most so many rows, evenly spread over the split; none: all.", at_least=1
    )
    max_new_tokens: int = setting(
        128, doc="An answer is cut after so many tokens.", unit="tokens", at_least=1
    )
    samples: int = setting(
        8, doc="How many answers are kept side by side in samples.jsonl.", unit="rows", at_least=0
    )
    resamples: int = setting(2000, doc="How often the bootstrap draws the rows again.", at_least=100)
    confidence: float = setting(
        0.95, doc="The share of resamples that an interval holds.", at_least=0.5, below=1
    )
    batch_size: int = setting(32, doc="How many answers are written at once.", unit="rows", at_least=1)
    batch_tokens: int = setting(
        4096, doc="The most tokens in one batch, padding included; bounds memory.", unit="tokens", at_least=64
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "float32", doc="What is computed in; bfloat16 is for accelerators and shifts scores a little."
    )
    threads: int | None = setting(
        None,
        doc="How many batches are worked on at once on a CPU, one core each; none: measured. "
        "The scores do not depend on it.",
        at_least=1,
        output=False,
    )


@dataclass(frozen=True)
class Perplexity:
    """Takes no settings: the natural logarithm, over the answers' tokens and the mark that ends them."""


@dataclass(frozen=True)
class ExactMatch:
    """What does not count as a difference; blanks at the ends and their number never do."""

    ignore_case: bool = setting(True, doc="Whether HELLO and hello are the same.")
    ignore_punctuation: bool = setting(True, doc="Whether hello! and hello are the same.")


@dataclass(frozen=True)
class Bleu:
    """How sacrebleu is asked."""

    tokenize: Literal["13a", "intl", "char", "none"] = setting(
        "13a", doc="sacrebleu's tokenizer; char for languages without spaces."
    )
    ignore_case: bool = setting(False, doc="Whether HELLO and hello are the same.")


@dataclass(frozen=True)
class RougeL:
    """How rouge-score is asked."""

    stem: bool = setting(True, doc="Whether English word endings are cut first (Porter).")
