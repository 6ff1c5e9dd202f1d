"""The evaluate stage `answers`: scores the last answer of each held-out conversation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmops_core.artifacts import Dataset, Model, Scores
from llmops_core.step import StepRun
from llmops_eval import records, rows, weights
from llmops_eval.asking import Metric, ask, chosen
from llmops_eval.batches import evenly_spread
from llmops_eval.comparison import Compared, compare
from llmops_eval.config import AnswersEvaluate
from llmops_eval.encoding import check_tokenizer
from llmops_eval.measuring import Measured, Subject, Wanted, measure
from llmops_eval.metric import Score
from llmops_eval.records import Judged
from llmops_eval.rows import Row


def evaluate_answers(
    config: AnswersEvaluate, run: StepRun, *, candidate: Model, baseline: Model | None, data: Dataset
) -> Scores:
    """Measures the candidate, and the baseline where there is one, on the same rows.

    Writes samples.jsonl (answers side by side) and rows.jsonl (each row's scores and statistics).
    Raises DataError when the split has no row that can be scored.
    """
    metrics = chosen(config.metrics, run)
    # the baseline first: its weights then become the candidate's
    models = {"baseline": baseline, "candidate": candidate} if baseline else {"candidate": candidate}
    chosen_rows, subjects = _subjects(config, run, rows.choose(data, config), models)
    wanted = _wanted(config, metrics, len(chosen_rows))
    measured = _measure(config, run, models, subjects, wanted)
    judged = {name: Judged(one, _scores(metrics, run, chosen_rows, one)) for name, one in measured.items()}
    compared = compare(
        judged["candidate"].scores,
        judged["baseline"].scores if baseline else (),
        resamples=config.resamples,
        confidence=config.confidence,
        seed=run.seed,
    )
    _tell(run, compared, measured)
    shown = [wanted.generations[at] for at in evenly_spread(len(wanted.generations), config.samples)]
    records.write(run.folder, chosen_rows, judged, shown)
    return Scores(
        folder=run.folder, rows=len(chosen_rows), values=compared.values, baseline=compared.baseline
    )


def _subjects(
    config: AnswersEvaluate, run: StepRun, chosen_rows: Sequence[Row], models: Mapping[str, Model]
) -> tuple[list[Row], dict[str, Subject]]:
    """The rows that fit, and each model's tokens of them."""
    tokenizers = {name: weights.load_tokenizer(model) for name, model in models.items()}
    for name, model in models.items():
        check_tokenizer(tokenizers[name], model.name)
    encoded = {name: rows.tokens(chosen_rows, one, config.split) for name, one in tokenizers.items()}
    kept = rows.fitting(encoded, models, config, run.warn)
    subjects = {name: Subject(tokenizers[name], [encoded[name][place] for place in kept]) for name in models}
    return [chosen_rows[place] for place in kept], subjects


def _wanted(config: AnswersEvaluate, metrics: Sequence[Metric], count: int) -> Wanted:
    needs = {need for metric in metrics for need in metric.needs}
    generated = range(count) if "generations" in needs else evenly_spread(count, config.samples)
    return Wanted("likelihoods" in needs, generated)


def _measure(
    config: AnswersEvaluate,
    run: StepRun,
    models: Mapping[str, Model],
    subjects: Mapping[str, Subject],
    wanted: Wanted,
) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    held = None
    work = wanted.work(len(subjects["candidate"].rows))
    total = work * len(models)
    for name, model in models.items():
        held = weights.load(model, config.precision, held)
        before = work * len(found)

        def progress(done: float, before: int = before) -> None:
            run.progress(round(before + done, 1), total)

        found[name] = measure(held.module, subjects[name], wanted, config, progress)
        # measured once: the other model is as large
        config = replace(config, threads=config.threads or found[name].threads)
    return found


def _scores(
    metrics: Sequence[Metric], run: StepRun, chosen_rows: Sequence[Row], measured: Measured
) -> list[Score]:
    inputs: dict[str, Sequence[Any]] = {
        "prompts": [row.messages[:-1] for row in chosen_rows],
        "references": [row.reference for row in chosen_rows],
        **measured.lists(len(chosen_rows)),
    }
    return ask(metrics, run, inputs, len(chosen_rows))


def _tell(run: StepRun, compared: Compared, measured: Mapping[str, Measured]) -> None:
    """Keeps the candidate's numbers with the run, and warns of those that do not mean what they seem to."""
    for name, entry in compared.values.items():
        run.metric(name, entry["value"])
        if not math.isfinite(entry["value"]):
            run.warn(f"{name} is {entry['value']}, not a number to compare: no gate on it will pass")
    lengths = [[row.tokens for _, row in sorted(one.likelihoods.items())] for one in measured.values()]
    if any(length != lengths[0] for length in lengths):
        run.warn(
            "candidate and baseline split the answers into different tokens, so their perplexities a token "
            "are not comparable"
        )
