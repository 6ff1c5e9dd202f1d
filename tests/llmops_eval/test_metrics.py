from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sacrebleu.metrics.bleu import BLEU

from llmops_core.step import StepRun
from llmops_eval.comparison import combined, row_values, statistics
from llmops_eval.config import Bleu, ExactMatch, Perplexity, RougeL
from llmops_eval.metric import Likelihood, Score
from llmops_eval.metrics.bleu import bleu
from llmops_eval.metrics.exact_match import exact_match, normalised
from llmops_eval.metrics.perplexity import perplexity
from llmops_eval.metrics.rouge_l import rouge_l
from llmops_eval.plugin import llmops_implementations

RUN: Any = StepRun.__new__(StepRun)
WORDS = some.lists(some.sampled_from(["the", "a", "cat", "sat", "on", "mat", "."]), max_size=9).map(" ".join)


def value(score: Score) -> float:
    return float(combined(score, statistics(score).sum(axis=0, keepdims=True))[0])


@settings(deadline=None)
@given(some.lists(some.tuples(WORDS, WORDS.filter(bool)), min_size=1, max_size=8))
def test_bleu_from_added_counts_is_sacrebleus_corpus_bleu(pairs: list[tuple[str, str]]) -> None:
    answers, references = [answer for answer, _ in pairs], [reference for _, reference in pairs]
    (score,) = bleu(Bleu(), RUN, references=references, generations=answers)
    assert value(score) == pytest.approx(BLEU().corpus_score(answers, [references]).score)


def test_bleu_of_a_copy_is_100_and_of_silence_0() -> None:
    text = ["restart the router and then wait"]
    assert value(bleu(Bleu(), RUN, references=text, generations=text)[0]) == pytest.approx(100)
    assert value(bleu(Bleu(), RUN, references=text, generations=[""])[0]) == 0


def test_perplexity_counts_every_token_the_same() -> None:
    likelihoods = [Likelihood(2.0, 1), Likelihood(3.0, 9)]
    nll, told = perplexity(Perplexity(), RUN, likelihoods=likelihoods)
    assert value(nll) == pytest.approx(0.5)
    assert value(told) == pytest.approx(math.exp(0.5))
    rows = row_values([nll, told])
    assert [row["nll"] for row in rows] == pytest.approx([2, 1 / 3])


def test_a_hopeless_model_has_infinite_perplexity_without_a_warning() -> None:
    _, told = perplexity(Perplexity(), RUN, likelihoods=[Likelihood(1e6, 1)])
    assert value(told) == numpy.inf


@pytest.mark.parametrize(
    ("answer", "reference", "config", "same"),
    [
        ("Hello,  world!", "hello world", ExactMatch(), True),
        ("Hello", "Hello there", ExactMatch(), False),
        ("HELLO", "hello", ExactMatch(ignore_case=False), False),
        ("hello!", "hello", ExactMatch(ignore_punctuation=False), False),
        ("Straße", "STRASSE", ExactMatch(), True),
        ("ﬁne", "fine", ExactMatch(), True),  # one letter that is two
        ("well-known", "well known", ExactMatch(), True),
    ],
)
def test_exact_match_ignores_what_it_is_told_to(
    answer: str, reference: str, config: ExactMatch, same: bool
) -> None:
    (score,) = exact_match(config, RUN, references=[reference], generations=[answer])
    assert score.rows == [float(same)]


@given(some.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalised(text, ExactMatch())
    assert normalised(once, ExactMatch()) == once


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence() -> None:
    found = rouge_l(RougeL(), RUN, references=["restart the router now"], generations=["restarted router"])
    precision, recall = 2 / 2, 2 / 4
    assert value(found[0]) == pytest.approx(2 * precision * recall / (precision + recall))


def test_every_metric_gives_the_scores_it_declares() -> None:
    likelihoods, texts = [Likelihood(1.0, 2)], ["a text of five words"]
    found = {
        "perplexity": perplexity(Perplexity(), RUN, likelihoods=likelihoods),
        "exact_match": exact_match(ExactMatch(), RUN, references=texts, generations=texts),
        "bleu": bleu(Bleu(), RUN, references=texts, generations=texts),
        "rouge_l": rouge_l(RougeL(), RUN, references=texts, generations=texts),
    }
    declared = {
        one.name: set(one.gives) for one in llmops_implementations() if one.group == "evaluate/metric"
    }
    names = {name: {n for s in scores for n in (s.name, s.comparison) if n} for name, scores in found.items()}
    assert names == declared
