from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from llmops_core.artifacts import Model, Scores
from llmops_core.errors import GateRefused, StepError
from llmops_core.step import StepRun
from llmops_release.config import Gate, GatedRelease
from llmops_release.gated import gated
from llmops_release.verdicts import judge

TEMPLATE = "{{ messages }}é"


def entry(value: float, low: float, high: float, better: str = "lower") -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "better": better}


@pytest.fixture
def candidate(tmp_path: Path) -> Model:
    """An adapter with its training's record, over a base with a tokenizer."""
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    base.mkdir()
    tuned.mkdir()
    (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    says = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["v_proj", "q_proj"]}
    (tuned / "adapter_config.json").write_text(json.dumps(says), encoding="utf-8")
    curve = [{"step": 0, "validation_loss": 3.0}, {"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.5}]
    (tuned / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve), encoding="utf-8")
    model = Model(folder=base, digest="b" * 64, name="tiny|base", parameters=134_515_008, context=8192)
    return replace(model, folder=tuned, digest="a" * 64, name="tiny-lora", base=model)


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    values = {
        "perplexity": entry(21.4, 18, 25),
        "perplexity_ratio": entry(0.56, 0.51, 0.62),
        "rouge_l": entry(0.2, 0.15, 0.25, "higher"),
        "odd": entry(math.nan, math.nan, math.nan),
    }
    baseline = {"perplexity": entry(38.1, 30, 44)}
    return Scores(folder=tmp_path, rows=64, values=values, baseline=baseline)


@pytest.fixture
def run(tmp_path: Path) -> StepRun:
    (tmp_path / "out").mkdir()
    return StepRun(folder=tmp_path / "out", scratch=tmp_path, cache=tmp_path, state=tmp_path, step="release")


Release = Callable[..., Any]


@pytest.fixture
def release(run: StepRun, candidate: Model, scores: Scores) -> Release:
    def make(**gates: Gate) -> Any:
        return gated(GatedRelease(gates=gates), run, candidate=candidate, scores=scores)

    return make


def test_passed_gates_make_a_release_with_its_card(release: Release, run: StepRun) -> None:
    made = release(perplexity_ratio=Gate(at_most=0.8), rouge_l=Gate(at_least=0.1, at_most=0.9, on="interval"))
    assert made.gates == {
        "perplexity_ratio": {
            "value": 0.56, "low": 0.51, "high": 0.62, "at_most": 0.8, "on": "value", "passed": True
        },
        "rouge_l": {
            "value": 0.2, "low": 0.15, "high": 0.25, "at_most": 0.9, "at_least": 0.1, "on": "interval",
            "passed": True,
        },
    }  # fmt: skip
    assert made.prompt == {"chat_template_sha256": hashlib.sha256(TEMPLATE.encode()).hexdigest()}
    assert [path.name for path in run.folder.iterdir()] == ["model_card.md"]


def test_the_refusal_tells_every_missed_gate_and_by_how_much(release: Release, run: StepRun) -> None:
    with pytest.raises(GateRefused) as refused:
        release(
            perplexity_ratio=Gate(at_most=0.5),
            rouge_l=Gate(at_least=0.25),
            perplexity=Gate(at_most=30),
            odd=Gate(at_most=1),
            bleu=Gate(at_least=1),
        )
    told = refused.value.problem.what.splitlines()
    assert told[0] == "4 of 5 gates missed, nothing is released"
    assert [line.strip() for line in told[1:]] == [
        "perplexity_ratio is 0.56, at_most 0.5 is asked: missed by 0.06 (12.0%)",
        "rouge_l is 0.2, at_least 0.25 is asked: missed by 0.05 (20.0%)",
        "odd is not a number, which passes no gate",
        "bleu was not measured",
    ]
    assert str(refused.value).endswith(
        "bleu was not measured. Improve the model, or change release.gates if they ask too much."
    )
    assert refused.value.exit_status == 3
    assert not list(run.folder.iterdir())


def test_a_gate_on_the_interval_asks_its_worse_end(release: Release) -> None:
    release(perplexity_ratio=Gate(at_most=0.6), rouge_l=Gate(at_least=0.18))
    with pytest.raises(GateRefused, match=r"0\.56 with its interval's high end at 0\.62, at_most 0\.6"):
        release(perplexity_ratio=Gate(at_most=0.6, on="interval"))
    with pytest.raises(GateRefused, match=r"0\.2 with its interval's low end at 0\.15, at_least 0\.18"):
        release(rouge_l=Gate(at_least=0.18, on="interval"))


def test_a_comparison_without_a_baseline_is_told_so(release: Release) -> None:
    with pytest.raises(GateRefused, match=r"bleu_gain was not measured .*was there one"):
        release(bleu_gain=Gate(at_least=0))


def test_a_release_without_gates_is_refused(release: Release) -> None:
    with pytest.raises(StepError, match="there is no gate"):
        release()


@given(some.floats(allow_nan=True), some.none() | some.floats(-5, 5), some.none() | some.floats(-5, 5))
def test_a_gate_passes_exactly_what_lies_within_its_bounds(
    value: float, at_most: float | None, at_least: float | None
) -> None:
    try:
        gate = Gate(at_most=at_most, at_least=at_least)
    except ValueError:
        assert (at_most is None and at_least is None) or (at_least or 0) > (at_most or 0)
        return
    (verdict,) = judge({"score": gate}, {"score": entry(value, value, value)})
    within = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    assert verdict.record()["passed"] is within
    assert bool(verdict.missed) is not within


@given(some.floats(-9, 9), some.floats(0, 9), some.floats(0, 9), some.floats(-9, 9), some.booleans())
def test_what_passes_on_its_interval_passes_on_its_value(
    value: float, below: float, above: float, bound: float, most: bool
) -> None:
    score = {"score": entry(value, value - below, value + above)}
    bounds = {"at_most" if most else "at_least": bound}
    (strict,) = judge({"score": Gate(**bounds, on="interval")}, score)
    (plain,) = judge({"score": Gate(**bounds)}, score)
    assert strict.missed or not plain.missed


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"tokenizer_config.json": {"chat_template": TEMPLATE}}, TEMPLATE),
        (
            {"tokenizer_config.json": {"chat_template": [
                {"name": "tool_use", "template": "no"}, {"name": "default", "template": TEMPLATE}
            ]}},
            TEMPLATE,
        ),
        ({"tokenizer_config.json": {}}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_chat_template_is_found_wherever_tokenizers_keep_it(
    release: Release, candidate: Model, files: dict[str, Any], found: str | None
) -> None:
    assert candidate.base is not None
    (candidate.base.folder / "chat_template.jinja").unlink()
    for name, content in files.items():
        (candidate.base.folder / name).write_text(json.dumps(content), encoding="utf-8")
    expected = hashlib.sha256(found.encode()).hexdigest() if found else None
    assert release(rouge_l=Gate(at_least=0)).prompt == {"chat_template_sha256": expected}


def test_the_card_tells_what_was_released(
    run: StepRun, candidate: Model, scores: Scores, release: Release
) -> None:
    release(perplexity_ratio=Gate(at_most=0.8))
    card = (run.folder / "model_card.md").read_text(encoding="utf-8")
    for told in (
        'base_model: "tiny|base"',
        "# tiny-lora",
        "- made from: tiny|base (134.5M parameters)",
        f"- digest of tiny-lora: `{'a' * 64}`",
        "- adapter: LORA, rank 8, alpha 16, on q_proj, v_proj",
        "- optimizer steps: 2",
        "- training loss: 2.5 at first, 1.5 at last",
        "| perplexity | lower | 21.4 | 18 to 25 | 38.1 | 30 to 44 |",
        "| perplexity_ratio | 0.56 | 0.8 |  | the value |",
        "llmops serve RELEASE",
        "No licence was stated.",
    ):
        assert told in card
    assert str(candidate.folder.parent) not in card


def test_the_card_is_the_same_whatever_the_order_of_gates_and_scores(
    run: StepRun, candidate: Model, scores: Scores
) -> None:
    gates = {"perplexity": Gate(at_most=99), "rouge_l": Gate(at_least=0)}
    config = GatedRelease(gates=gates, name="Help | desk", summary="Answers.", license="apache-2.0")
    gated(config, run, candidate=candidate, scores=scores)
    first = (run.folder / "model_card.md").read_bytes()
    turned = replace(config, gates=dict(reversed(gates.items())))
    gated(
        turned, run, candidate=candidate, scores=replace(scores, values=dict(reversed(scores.values.items())))
    )
    assert (run.folder / "model_card.md").read_bytes() == first
    assert b'license: "apache-2.0"' in first
    assert b"# Help \\| desk\n\nAnswers.\n" in first


def test_a_base_model_needs_no_training_section(run: StepRun, candidate: Model, scores: Scores) -> None:
    assert candidate.base is not None
    gated(GatedRelease(gates={"rouge_l": Gate(at_least=0)}), run, candidate=candidate.base, scores=scores)
    card = (run.folder / "model_card.md").read_text(encoding="utf-8")
    assert "## Training" not in card
    assert "base_model" not in card


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("adapter", "- adapter: LORA, rank 8, alpha 16, on q_proj, v_proj, merged into the weights"),
        ("elsewhere", "- all weights were tuned"),
    ],
)
def test_the_card_tells_a_merged_adapter_from_tuning_all_weights(
    run: StepRun, candidate: Model, release: Release, place: str, told: str
) -> None:
    (candidate.folder / place).mkdir()
    (candidate.folder / "adapter_config.json").rename(candidate.folder / place / "adapter_config.json")
    release(perplexity_ratio=Gate(at_most=0.8))
    assert told in (run.folder / "model_card.md").read_text(encoding="utf-8").splitlines()


def test_the_card_tells_where_the_validation_loss_was_lowest(
    run: StepRun, candidate: Model, release: Release
) -> None:
    losses = [3.0, 1.25, 2.0]
    curve = [{"step": 4 * at, "validation_loss": loss} for at, loss in enumerate(losses)]
    text = "".join(json.dumps(row) + "\n" for row in curve)
    (candidate.folder / "training.jsonl").write_text(text, encoding="utf-8")
    release(perplexity_ratio=Gate(at_most=0.8))
    card = (run.folder / "model_card.md").read_text(encoding="utf-8")
    assert "- validation loss: 3 at first, 2 at last, lowest 1.25 at step 4\n" in card
