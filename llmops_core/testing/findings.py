"""What a check of the kit is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from llmops_core.testing.examination import Examination

FAMILIES = ("contract", "config", "keys", "run", "crash", "secrets", "live", "import")
"""In the order they are shown."""


@dataclass(frozen=True)
class Finding:
    """Something a plugin does wrong: in what, what it is, and what to do."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        text = self.what if self.what.endswith((".", "?", "!")) else f"{self.what}."
        return f"{self.where}: {text} {self.remedy}".strip()


@dataclass(frozen=True)
class Check:
    """One thing that every plugin must do. `look` gives what is wrong; nothing: all is well."""

    family: str
    name: str
    look: Callable[[Examination], Iterable[Finding]]

    @property
    def title(self) -> str:
        """ "keys: every field counts"."""
        return f"{self.family}: {self.name}"


@dataclass(frozen=True)
class Verdict:
    """What a check found. Skipped: there was nothing to look at; `findings` is then empty."""

    family: str
    name: str
    status: Literal["passed", "failed", "skipped"]
    findings: tuple[Finding, ...] = ()
    note: str = ""
    """Why it was skipped."""


class NothingToCheck(Exception):  # noqa: N818 - not a fault
    """Raised by a check that finds nothing it applies to; the text says why."""
