"""What a metric is: a function from what a model did on the rows to numbers a row.

A metric is an implementation of the group "evaluate/metric". Its target is called once a model, as
`function(config, run, **inputs)`, and asks for what it needs by naming it, keyword-only:

    prompts       Sequence[Sequence[Mapping[str, str]]]   the messages before the answer
    references    Sequence[str]                           the answers of the data
    generations   Sequence[str]                           the model's own answers, decoded greedily
    likelihoods   Sequence[Likelihood]                    how likely the references are to the model

All are of one length, a member a row. What no metric names is not computed. The function returns
its scores as statistics of each row; the evaluation adds them up, compares candidate and baseline,
and draws the bootstrap, the same rows for every score and both models. A whole metric:

    def words(config: Words, run: StepRun, *, generations: Sequence[str]) -> Sequence[Score]:
        return [Score("words", "lower", [len(text.split()) for text in generations])]

Its Implementation lists the score names in `gives`, "words_gain" too had it said compare="gain".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy

INPUTS = ("prompts", "references", "generations", "likelihoods")


@dataclass(frozen=True)
class Likelihood:
    """How likely one reference answer is: the negative log-likelihood of all its tokens, in nats."""

    nll: float
    tokens: int


@dataclass(frozen=True)
class Score:
    """One number about a model, as statistics of each row that add up.

    `rows` holds a number a row, or several: [[0.0, 1.2], ...]. Without `combine` the score is the
    mean of the (only) number. `combine` gets the sums over some rows as an array of shape
    (draws, numbers) and returns the score of each draw, shape (draws,): so a corpus statistic such
    as BLEU is drawn from its counts, not from averages of rows.
    """

    name: str
    better: Literal["lower", "higher"]
    rows: Sequence[float] | Sequence[Sequence[float]]
    combine: Callable[[numpy.ndarray[Any, Any]], numpy.ndarray[Any, Any]] | None = None
    compare: Literal["ratio", "gain"] | None = None
    """What is told of the candidate against the baseline: NAME_ratio (candidate / baseline), or NAME_gain
    (how much better the candidate is, above 0 when it is)."""

    @property
    def comparison(self) -> str:
        """The name of the comparison; empty when there is none."""
        return f"{self.name}_{self.compare}" if self.compare else ""
