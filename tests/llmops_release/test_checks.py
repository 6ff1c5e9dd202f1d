from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_core.errors import Problem
from llmops_core.plugins import load
from llmops_eval.config import AnswersEvaluate
from llmops_eval.plugin import llmops_check as check_evaluation
from llmops_release.config import Gate, GatedRelease
from llmops_release.plugin import llmops_check

GIVEN = ("perplexity", "perplexity_ratio", "rouge_l")


def recipe(gates: dict[str, Gate], given: tuple[str, ...] = GIVEN) -> Any:
    """As much of a recipe as the checks look at."""
    scoring = SimpleNamespace(name="scoring", config=AnswersEvaluate(), inputs={})
    release = SimpleNamespace(name="release", config=GatedRelease(gates=gates), inputs={"scores": "scoring"})
    other = SimpleNamespace(name="other", config=object(), inputs={})
    return SimpleNamespace(
        steps=(other, scoring, release),
        origin=lambda path: f"at {path}",
        gives=lambda step: given if step is scoring else ("never",),
    )


def test_gates_on_computed_scores_are_no_problem() -> None:
    assert not llmops_check(recipe({"rouge_l": Gate(at_least=0.1), "perplexity_ratio": Gate(at_most=1)}))


def test_a_gate_on_a_score_nobody_computes_names_the_nearest() -> None:
    (problem,) = llmops_check(recipe({"rouge_l": Gate(at_least=0.1), "perplexty": Gate(at_most=9)}))
    assert problem == Problem(
        "release.gates.perplexty",
        "nobody computes the score perplexty",
        "Did you mean perplexity? scoring computes: perplexity, perplexity_ratio, rouge_l.",
        "at release.gates.perplexty",
    )


def test_an_evaluation_without_scores_is_said_so() -> None:
    (problem,) = llmops_check(recipe({"perplexity": Gate(at_most=9)}, given=()))
    assert "computes no score: add a metric" in problem.remedy


def test_a_release_without_gates_is_a_problem_with_a_way_out() -> None:
    (problem,) = llmops_check(recipe({}))
    assert problem.where == "release.gates"
    assert problem.remedy == "Add one: +release.gates.perplexity_ratio.at_most=0.8"


def test_an_evaluation_without_metrics_is_a_problem() -> None:
    (problem,) = check_evaluation(recipe({}))
    assert problem.where == "scoring.metrics"


@pytest.mark.parametrize(
    ("values", "says"), [({}, "needs at_most"), ({"at_most": 1, "at_least": 2}, "above")]
)
def test_a_gate_that_nothing_or_everything_passes_is_refused(values: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Gate(**values)


def test_listing_and_checking_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys, llmops_eval.plugin, llmops_eval.config, llmops_eval.estimate, llmops_eval.metric\n"
        "import llmops_release.plugin, llmops_release.checks, llmops_release.gated, llmops_release.estimate\n"
        "llmops_eval.plugin.llmops_implementations()\n"
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'sacrebleu', 'hydra'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_both_plugins_are_found_and_keep_to_the_contract() -> None:
    plugins = load()
    assert not plugins.problems
    for group, name in (("evaluate", "answers"), ("evaluate/metric", "bleu"), ("release", "gated")):
        assert plugins.find(group, name) is not None
