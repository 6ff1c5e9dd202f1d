"""What this plugin offers: the evaluate stage `answers`, and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmops_core.errors import Problem
from llmops_core.hookspecs import Implementation, hookimpl

if TYPE_CHECKING:
    from llmops_core.config import Recipe

LLMOPS_CONTRACT = 1


@hookimpl
def llmops_implementations() -> Sequence[Implementation]:
    """The evaluation and its metrics."""
    return (
        Implementation(
            group="evaluate",
            name="answers",
            config="llmops_eval.config:AnswersEvaluate",
            target="llmops_eval.answers:evaluate_answers",
            about="Likelihood and greedy answers on held-out rows, with paired bootstrap intervals.",
            accepts=("messages",),
            estimate="llmops_eval.estimate:estimate",
            needs=("torch", "transformers", "peft"),
            extra="llmops[train]",
        ),
        _metric(
            "perplexity",
            "Perplexity",
            "How likely the reference answers are to the model.",
            gives=("nll", "perplexity", "perplexity_ratio"),
        ),
        _metric(
            "exact_match",
            "ExactMatch",
            "The share of answers that say exactly what the reference says.",
            gives=("exact_match", "exact_match_gain"),
        ),
        _metric(
            "bleu",
            "Bleu",
            "Corpus BLEU by sacrebleu, from 0 to 100.",
            gives=("bleu", "bleu_gain"),
            needs=("sacrebleu",),
        ),
        _metric(
            "rouge_l",
            "RougeL",
            "ROUGE-L F-measure by rouge-score, from 0 to 1.",
            gives=("rouge_l", "rouge_l_gain"),
            needs=("rouge_score",),
        ),
    )


@hookimpl
def llmops_check(recipe: Recipe) -> Sequence[Problem]:
    """An evaluation that measures nothing."""
    from llmops_eval.config import AnswersEvaluate

    return [
        Problem(
            f"{step.name}.metrics",
            "no metric is chosen, so nothing would be measured",
            f"Add one: +{step.name}.metrics.perplexity={{}}",
            recipe.origin(step.name),
        )
        for step in recipe.steps
        if isinstance(step.config, AnswersEvaluate) and not step.config.metrics
    ]


def _metric(
    name: str, config: str, about: str, *, gives: Sequence[str], needs: Sequence[str] = ()
) -> Implementation:
    return Implementation(
        group="evaluate/metric",
        name=name,
        config=f"llmops_eval.config:{config}",
        target=f"llmops_eval.metrics.{name}:{name}",
        about=about,
        gives=gives,
        needs=needs,
        extra="llmops[eval]" if needs else "",
        seeded=False,
    )
