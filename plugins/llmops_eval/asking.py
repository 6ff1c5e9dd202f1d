"""Asks the metrics: what each needs, and what it makes of what a model did."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmops_core.errors import PluginError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_eval.metric import INPUTS, Score


@dataclass(frozen=True)
class Metric:
    """A metric of the recipe, and the names of what it asks for."""

    name: str
    config: Any
    function: Callable[..., Sequence[Score]]
    needs: tuple[str, ...]

    def __call__(self, run: StepRun, inputs: Mapping[str, Sequence[Any]], rows: int) -> Sequence[Score]:
        """Its scores of one model. Raises PluginError when one has not a number for each row."""
        found = tuple(self.function(self.config, run, **{name: inputs[name] for name in self.needs}))
        for score in found:
            if len(score.rows) != rows:
                raise PluginError(
                    f"its score {score.name} has statistics of {len(score.rows)} rows, not of {rows}",
                    where=f"metric {self.name}",
                    remedy="A metric gives one entry a row, in order.",
                )
        return found


def chosen(metrics: Mapping[str, Part], run: StepRun) -> tuple[Metric, ...]:
    """The metrics of a recipe, loaded. Raises PluginError for one that asks for what there is not."""
    return tuple(_metric(name, part, run) for name, part in metrics.items())


def _metric(name: str, part: Part, run: StepRun) -> Metric:
    function = run.load(part)
    parameters = list(inspect.signature(function).parameters.values())
    needs = tuple(one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY)
    unknown = [need for need in needs if need not in INPUTS]
    if unknown or len(parameters) - len(needs) != 2:
        raise PluginError(
            f"its target asks for {', '.join(unknown)}" if unknown else "its target has another signature",
            where=f"metric {name}",
            remedy=f"Write it as function(config, run, *, INPUT, ...) with inputs among {', '.join(INPUTS)}.",
        )
    return Metric(name, part.config, function, needs)


def ask(
    metrics: Sequence[Metric], run: StepRun, inputs: Mapping[str, Sequence[Any]], rows: int
) -> list[Score]:
    """The scores of one model by all metrics. Raises PluginError when two give one name."""
    found: list[Score] = []
    owners: dict[str, str] = {}
    for metric in metrics:
        for score in metric(run, inputs, rows):
            for name in filter(None, (score.name, score.comparison)):
                if name in owners:
                    raise PluginError(
                        f"the metrics {owners[name]} and {metric.name} both give the score {name}",
                        where=run.step,
                        remedy="Leave one of them out.",
                    )
                owners[name] = metric.name
            found.append(score)
    return found
