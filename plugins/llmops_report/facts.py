"""What a run's record and artifacts say, in the terms the report's parts ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from llmops_core import wording
from llmops_core.artifacts import Artifact, Dataset, Model, Release, Scores
from llmops_report import reading

Kind = TypeVar("Kind", Dataset, Model, Release, Scores)


@dataclass(frozen=True)
class Facts:
    """A run's manifest, its artifacts by step name, and what could not be read of them."""

    document: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]
    notes: Sequence[str] = ()

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """The record of each step, in order."""
        return reading.entries(self.document, "steps")


@dataclass(frozen=True)
class Gate:
    """What a release asked of a score. `value` is None while nobody has measured it.

    A gate on an interval compares its worse end: `interval` holds both ends then.
    """

    score: str
    value: float | None
    at_most: float | None
    at_least: float | None
    interval: tuple[float, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether what is compared is within both bounds; an unknown value is not."""
        return self.value is not None and not self.missed_by

    @property
    def missed_by(self) -> float:
        """How far what is compared lies beyond a bound; 0 where it lies within."""
        if self.value is None:
            return 0.0
        low, high = self.interval or (self.value, self.value)
        over = high - self.at_most if self.at_most is not None else 0.0
        under = self.at_least - low if self.at_least is not None else 0.0
        return max(0.0, over, under)

    @property
    def rule(self) -> str:
        """What is asked, in words."""
        asked = []
        if self.at_most is not None:
            asked.append(f"at most {wording.plain(self.at_most)}")
        if self.at_least is not None:
            asked.append(f"at least {wording.plain(self.at_least)}")
        return " and ".join(asked)

    @property
    def shown_value(self) -> str:
        """The value, with digits enough to be told from the bound it is nearest to."""
        if self.value is None:
            return "not measured"
        if self.interval:
            low, high = (self._apart(end) for end in self.interval)
            return f"{self._apart(self.value)}, its interval from {low} to {high}"
        return self._apart(self.value)

    def _apart(self, value: float) -> str:
        bounds = [bound for bound in (self.at_most, self.at_least) if bound is not None]
        if not bounds:
            return wording.score(value)
        return wording.apart(value, min(bounds, key=lambda bound: abs(bound - value)))


def of_kind(facts: Facts, kind: type[Kind]) -> Iterator[tuple[str, Kind]]:
    """The run's artifacts of one kind with their steps' names, in the order of the steps."""
    for step in facts.steps:
        name = reading.text(step, "name")
        artifact = facts.artifacts.get(name)
        if isinstance(artifact, kind):
            yield name, artifact


def steps_of(facts: Facts, stage: str) -> Sequence[Mapping[str, Any]]:
    """The record of each step of one stage."""
    return [step for step in facts.steps if reading.text(step, "stage") == stage]


def gates(facts: Facts) -> Sequence[Gate]:
    """Every gate of the run's releases: as it was judged, or else as the recipe declares it."""
    return [gate for step in steps_of(facts, "release") for gate in _gates_of(facts, step)]


def _gates_of(facts: Facts, step: Mapping[str, Any]) -> Iterator[Gate]:
    name = reading.text(step, "name")
    release = facts.artifacts.get(name)
    if isinstance(release, Release):
        declared: Mapping[str, Any] = release.gates
        measured = {score: reading.mapping(declared, score) for score in declared}
    else:
        declared = reading.mapping(reading.mapping(reading.mapping(facts.document, "config"), name), "gates")
        scores = _scores_for(facts, step)
        measured = dict(scores.values) if scores else {}
    judged = (
        _gate(score, reading.mapping(declared, score), reading.mapping(measured, score)) for score in declared
    )
    yield from (gate for gate in judged if gate.rule)


def _gate(score: str, asked: Mapping[str, Any], measured: Mapping[str, Any]) -> Gate:
    value, low, high = (reading.number(measured, key) for key in ("value", "low", "high"))
    ends = None
    if reading.text(asked, "on") == "interval":
        ends = (low, high) if low is not None and high is not None else None
        value = value if ends else None
    at_most, at_least = (reading.number(asked, bound) for bound in ("at_most", "at_least"))
    return Gate(str(score), value, at_most, at_least, ends)


def _scores_for(facts: Facts, step: Mapping[str, Any]) -> Scores | None:
    measured = dict(of_kind(facts, Scores))
    wanted = reading.text(reading.mapping(step, "inputs"), "scores")
    for other in facts.steps:
        name = reading.text(other, "name")
        if wanted and name in measured and reading.text(other, "output") == wanted:
            return measured[name]
    return list(measured.values())[-1] if measured else None


def errors(facts: Facts) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """Every error with the step it happened in ("" for the run's own), each told once."""
    found = [
        (reading.text(step, "name"), reading.mapping(step, "error"))
        for step in facts.steps
        if reading.mapping(step, "error")
    ]
    own = reading.mapping(facts.document, "error")
    if own and all(reading.text(own, "what") != reading.text(error, "what") for _, error in found):
        found.insert(0, ("", own))
    return found


def warnings(facts: Facts) -> Sequence[tuple[str, str]]:
    """Every warning with the step that gave it."""
    return [
        (reading.text(step, "name"), warning)
        for step in facts.steps
        for warning in reading.texts(step, "warnings")
    ]
