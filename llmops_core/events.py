"""What happens during a run, told to every plugin as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened to `step` ("" for the run itself)."""

    step: str = ""


@dataclass(frozen=True)
class RunStarted(Event):
    """A plan begins to run."""


@dataclass(frozen=True)
class RunEnded(Event):
    """A run is over: "done", "failed", "refused" or "interrupted"."""

    status: str = "done"
    seconds: float = 0.0


@dataclass(frozen=True)
class StepStarted(Event):
    """A step begins to run."""


@dataclass(frozen=True)
class StepReused(Event):
    """A step's output was found whole in the store."""

    result: str = ""


@dataclass(frozen=True)
class StepEnded(Event):
    """A step gave its artifact; `result` is one line for a person."""

    result: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class StepRetried(Event):
    """A step failed and will be tried again after `wait` seconds."""

    error: str = ""
    attempt: int = 1
    wait: float = 0.0


@dataclass(frozen=True)
class StepFailed(Event):
    """A step failed for good, or a gate refused."""

    error: str = ""
    status: str = "failed"
    """ "failed" or "refused"."""


@dataclass(frozen=True)
class Progress(Event):
    """`done` of `total` units; `numbers` are shown as they are ({"loss": 1.83, "tok/s": 212})."""

    done: float = 0
    total: float = 0
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric(Event):
    """A number to keep: `name` had `value` at count `at` (optimizer steps in training)."""

    name: str = ""
    value: float = 0.0
    at: int | None = None


@dataclass(frozen=True)
class Fetched(Event):
    """`size` bytes came from `address`; nothing is told of what lay in the cache already."""

    address: str = ""
    size: int = 0


@dataclass(frozen=True)
class Answering(Event):
    """What a deploy step put up answers at `url`, served by process number `process` of this machine."""

    url: str = ""
    process: int = 0


@dataclass(frozen=True)
class Log(Event):
    """A line for a person. `level` is "info" or "warning"."""

    text: str = ""
    level: str = "info"


def to_json(event: Event) -> dict[str, Any]:
    """An event as plain values."""
    return {"event": type(event).__name__, **asdict(event)}


def from_json(values: Mapping[str, Any]) -> Event:
    """The event that plain values stand for."""
    kinds = {kind.__name__: kind for kind in Event.__subclasses__()}
    return kinds[values["event"]](**{name: value for name, value in values.items() if name != "event"})
