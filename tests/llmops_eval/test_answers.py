from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Dataset, Model, Scores
from llmops_core.errors import DataError, PluginError
from llmops_core.events import Metric, Progress
from llmops_core.settings import Part
from llmops_eval.config import Perplexity
from llmops_eval.language_model import LanguageModel
from llmops_eval.metric import Likelihood
from llmops_eval.metric import Score as OneScore
from tests.llmops_eval.conftest import PAIRS, Evaluation, chosen, dataset, lines

EVERYTHING = ("perplexity", "exact_match", "bleu", "rouge_l")


def test_candidate_and_baseline_are_scored_on_the_same_rows(
    evaluation: Evaluation, base: Model, adapted: Callable[..., Model]
) -> None:
    scores = evaluation(adapted("tuned"), base, metrics=chosen(*EVERYTHING), samples=3)
    assert scores.rows == len(PAIRS)
    assert set(scores.baseline) == {"nll", "perplexity", "exact_match", "bleu", "rouge_l"}
    comparisons = {"perplexity_ratio", "exact_match_gain", "bleu_gain", "rouge_l_gain"}
    assert set(scores.values) == {*scores.baseline, *comparisons}
    ratio = scores.values["perplexity"]["value"] / scores.baseline["perplexity"]["value"]
    assert scores.values["perplexity_ratio"]["value"] == pytest.approx(ratio)
    assert ratio != pytest.approx(1, abs=1e-3)
    told = {event.name: event.value for event in evaluation.events if isinstance(event, Metric)}
    assert told == {name: entry["value"] for name, entry in scores.values.items()}


def test_an_adapter_that_learned_nothing_scores_as_its_base(
    evaluation: Evaluation, base: Model, adapted: Callable[..., Model]
) -> None:
    scores = evaluation(adapted("fresh", learned=False), base, metrics=chosen(*EVERYTHING))
    assert scores.values["perplexity_ratio"] == {"value": 1, "low": 1, "high": 1, "better": "lower"}
    assert scores.values["bleu_gain"]["value"] == 0
    for sample in lines(scores, "samples.jsonl"):
        assert sample["candidate"] == sample["baseline"]


def test_shared_weights_give_the_scores_of_weights_loaded_apart(
    evaluation: Evaluation, base: Model, adapted: Callable[..., Model]
) -> None:
    tuned = adapted("tuned")
    alone = evaluation(tuned).values["nll"]["value"]
    beside = evaluation(tuned, base).values["nll"]["value"]
    # a copy of the base that is not known to be one
    stranger = replace(base, digest="another")
    assert beside == alone == evaluation(tuned, stranger).values["nll"]["value"]


def test_without_a_baseline_there_is_nothing_to_compare(evaluation: Evaluation, base: Model) -> None:
    scores = evaluation(base, metrics=chosen(*EVERYTHING))
    assert scores.baseline == {}
    assert not [name for name in scores.values if name.endswith(("_ratio", "_gain"))]
    assert lines(scores, "samples.jsonl")[0]["baseline"] is None


def read(scores: Scores) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(scores.folder.iterdir()))


def test_the_bytes_depend_neither_on_threads_nor_on_the_order_of_metrics(
    evaluation: Evaluation, base: Model, adapted: Callable[..., Model]
) -> None:
    tuned, values = adapted("tuned"), {"batch_size": 2, "batch_tokens": 128}
    one = evaluation(tuned, base, metrics=chosen(*EVERYTHING), threads=1, **values)
    two = evaluation(tuned, base, metrics=chosen(*reversed(EVERYTHING)), threads=3, **values)
    measured = evaluation(tuned, base, metrics=chosen(*EVERYTHING), threads=None, **values)
    assert read(one) == read(two) == read(measured)
    assert one.values == two.values == measured.values


def test_rows_are_kept_so_that_runs_can_be_compared_later(
    evaluation: Evaluation, base: Model, adapted: Callable[..., Model]
) -> None:
    scores = evaluation(adapted("tuned"), base, metrics=chosen(*EVERYTHING))
    kept = lines(scores, "rows.jsonl")
    assert [row["row"] for row in kept] == list(range(len(PAIRS)))
    assert [(row["prompt"], row["reference"]) for row in kept] == list(PAIRS)
    for side, told in (("candidate", scores.values), ("baseline", scores.baseline)):
        nats, tokens = (sum(row[side]["statistics"]["nll"][place] for row in kept) for place in (0, 1))
        assert nats / tokens == pytest.approx(told["nll"]["value"])
        mean = sum(row[side]["scores"]["rouge_l"] for row in kept) / len(kept)
        assert mean == pytest.approx(told["rouge_l"]["value"])


def test_nothing_is_generated_when_nothing_needs_it(
    evaluation: Evaluation, base: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    generations = LanguageModel.generations

    def counted(self: LanguageModel, rows: Sequence[Any], *rest: Any) -> Any:
        asked.append(len(rows))
        return generations(self, rows, *rest)

    monkeypatch.setattr(LanguageModel, "generations", counted)
    evaluation(base, samples=0)
    assert asked == []
    assert len(lines(evaluation(base, samples=2), "samples.jsonl")) == 2
    assert asked == [2]
    evaluation(base, metrics=chosen("rouge_l"), samples=2)
    assert asked == [2, len(PAIRS)]


def test_rows_are_spread_over_the_split(evaluation: Evaluation, base: Model) -> None:
    scores = evaluation(base, max_rows=3)
    assert [row["row"] for row in lines(scores, "rows.jsonl")] == [0, 2, 4]


def test_progress_counts_up_to_all_the_work(
    evaluation: Evaluation, base: Model, adapted: Callable[..., Model]
) -> None:
    evaluation(adapted("tuned"), base, metrics=chosen("perplexity", "bleu"))
    told = [event for event in evaluation.events if isinstance(event, Progress)]
    done = [event.done for event in told]
    assert done == sorted(done)
    assert {event.total for event in told} == {done[-1]} == {4 * len(PAIRS)}


@dataclass(frozen=True)
class Nothing:
    """A foreign metric's settings."""


def foreign(evaluation: Evaluation, function: Callable[..., Any]) -> dict[str, Part]:
    evaluation.foreign["own"] = function
    return {"own": Part("evaluate/metric", "own", Nothing())}


def words(config: Nothing, run: Any, *, generations: Sequence[str]) -> Sequence[OneScore]:
    return [OneScore("words", "lower", [len(text.split()) for text in generations], compare="gain")]


def test_a_foreign_metric_needs_a_few_lines(
    evaluation: Evaluation, base: Model, adapted: Callable[..., Model]
) -> None:
    scores = evaluation(adapted("tuned"), base, metrics=foreign(evaluation, words), samples=99)
    written = [len(sample["candidate"].split()) for sample in lines(scores, "samples.jsonl")]
    assert scores.values["words"]["value"] == pytest.approx(sum(written) / len(PAIRS))
    assert "words_gain" in scores.values


def test_a_metric_that_asks_for_the_unknown_is_told_what_there_is(
    evaluation: Evaluation, base: Model
) -> None:
    def own(config: Nothing, run: Any, *, embeddings: Any) -> Any: ...

    with pytest.raises(PluginError, match=r"asks for embeddings.*prompts, references, generations"):
        evaluation(base, metrics=foreign(evaluation, own))


def test_a_metric_of_another_signature_is_refused(evaluation: Evaluation, base: Model) -> None:
    def own(texts: Any) -> Any: ...

    with pytest.raises(PluginError, match="another signature"):
        evaluation(base, metrics=foreign(evaluation, own))


def test_a_metric_that_loses_rows_is_refused(evaluation: Evaluation, base: Model) -> None:
    def own(config: Nothing, run: Any, *, references: Any) -> Any:
        return [OneScore("short", "lower", [1.0])]

    with pytest.raises(PluginError, match="score short has statistics of 1 rows, not of 7"):
        evaluation(base, metrics=foreign(evaluation, own))


def test_two_metrics_may_not_give_one_score(evaluation: Evaluation, base: Model) -> None:
    twice = {"one": Part("evaluate/metric", "perplexity", Perplexity()), **chosen("perplexity")}
    with pytest.raises(PluginError, match="one and perplexity both give the score nll"):
        evaluation(base, metrics=twice)


def test_a_score_that_is_no_number_is_told(evaluation: Evaluation, base: Model) -> None:
    def own(config: Nothing, run: Any, *, likelihoods: Sequence[Likelihood]) -> Any:
        return [OneScore("odd", "lower", [math.nan for _ in likelihoods])]

    scores = evaluation(base, metrics=foreign(evaluation, own))
    assert math.isnan(scores.values["odd"]["value"])
    assert any("odd is nan" in text for text in evaluation.warnings)


def test_rows_longer_than_the_context_are_left_out_and_told(
    evaluation: Evaluation, base: Model, tmp_path: Path
) -> None:
    data = dataset(tmp_path / "long", [*PAIRS, ("Hello " * 100, "Hi!")])
    scores = evaluation(base, data=data)
    assert scores.rows == len(PAIRS)
    assert [text for text in evaluation.warnings if text.startswith("1 of 8 rows are not scored")]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"split": "tests"}, "no split tests"),
        ({"max_new_tokens": 128}, "no row of test fits the model's context of 128 tokens"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    evaluation: Evaluation, base: Model, values: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        evaluation(base, **values)


def test_an_empty_split_is_refused(evaluation: Evaluation, base: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the split test has no row to score"):
        evaluation(base, data=dataset(tmp_path / "empty", []))


def test_a_row_that_cannot_be_scored_is_named(evaluation: Evaluation, base: Model, tmp_path: Path) -> None:
    folder = dataset(tmp_path / "odd", PAIRS[:2]).folder
    with (folder / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"messages": [{"role": "user", "content": "Hello"}]}\n')
    with pytest.raises(DataError, match="row 3 of test: its last message is not the assistant's"):
        evaluation(base, data=Dataset(folder=folder, rows={"test": 3}, shape="messages"))
