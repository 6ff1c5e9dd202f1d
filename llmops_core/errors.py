"""Every error we raise. Each says where, what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something wrong with a recipe, found before anything runs.

    `where` is a dotted config path or the override as typed; `origin` the file and line (or
    "command line") that `where` came from.
    """

    where: str
    what: str
    remedy: str = ""
    origin: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        text = text if text.endswith((".", "?", "!")) else text + "."
        text = f"{text} {self.remedy}" if self.remedy else text
        return f"{text} ({self.origin})" if self.origin else text


class LlmopsError(Exception):
    """The root of what a user can cause. `exit_status` is what the command line ends with."""

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.problem = Problem(where, what, remedy)
        super().__init__(str(self.problem))


class UsageError(LlmopsError):
    """The command line asks for something that is not there."""

    exit_status = 2


class AddressError(UsageError):
    """The text of an address cannot be read, or it does not name one exact thing."""


class RecipeError(LlmopsError):
    """A recipe (or its overrides) is wrong; holds every problem found."""

    exit_status = 2

    def __init__(self, recipe: str, problems: Sequence[Problem]) -> None:
        self.recipe = recipe
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class PluginError(LlmopsError):
    """An installed plugin breaks the contract; names its distribution and version."""

    exit_status = 2


class StepError(LlmopsError):
    """A step failed while running."""


class DataError(StepError):
    """The data a step was given cannot be used."""


class FetchError(StepError):
    """Something could not be brought from its address, or arrived with another digest."""


class OfflineError(FetchError):
    """The network is forbidden (LLMOPS_OFFLINE=1) and something would have to be fetched."""


class StoreError(LlmopsError):
    """The store cannot be read or written as it is."""


class TimeLimitError(StepError):
    """A step ran longer than its time limit."""


class SecretError(StepError):
    """A secret that a step asked for is not set."""


class GateRefused(LlmopsError):  # noqa: N818 - a refusal is a result, not a fault
    """A gate declared in the recipe did not pass; nothing was released."""

    exit_status = 3


class LockedError(LlmopsError):
    """Another process is acting on the same live environment."""
