"""What was broken in a source: how much in each file, and why, with the first that broke for each reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_data.entries import Broken

REASONS = 3
REMEMBERED = 50
"""Reasons that are counted; of more (each may quote a number of its own) only that they are."""
LONGEST_QUOTE = 80


@dataclass
class Complaints:
    """Counts what is broken as it is read."""

    files: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, list[Any]] = field(default_factory=dict)
    """Why -> how many, the first one's origin, and what it says."""

    def add(self, title: str, one: Broken) -> None:
        """One more, in the file of this title."""
        self.files[title] += 1
        if one.why in self.reasons:
            self.reasons[one.why][0] += 1
        elif len(self.reasons) < REMEMBERED:
            self.reasons[one.why] = [1, one.origin, _short(one.quote)]

    @property
    def count(self) -> int:
        """How many in all."""
        return self.files.total()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"files": dict(self.files), "reasons": self.reasons}

    @staticmethod
    def of(document: Mapping[str, Any]) -> Complaints:
        """Read back what `document` gave."""
        return Complaints(
            Counter(document["files"]), {why: [*one] for why, one in document["reasons"].items()}
        )


def told(found: Sequence[Complaints]) -> str:
    """The commonest reasons, each with its first row, and how many are in which file."""
    reasons = sorted(
        ((why, *one) for complaints in found for why, one in complaints.reasons.items()),
        key=lambda one: -one[1],
    )
    shown = [_reason(*one) for one in reasons[:REASONS]]
    rest = sum(one.count for one in found) - sum(count for _, count, _, _ in reasons[:REASONS])
    if rest:
        shown.append(f"and {rest:,} more for other reasons")
    files = {title: count for one in found for title, count in one.files.items()}
    places = ", ".join(f"{title} {count:,}" for title, count in files.items()) if len(files) > 1 else ""
    return "; ".join(shown) + (f" (by file: {places})" if places else "")


def _reason(why: str, count: int, origin: str, quote: str) -> str:
    more = f" (and {count - 1:,} more like it)" if count > 1 else ""
    return f"{origin}: {why}" + (f": {quote}" if quote else "") + more


def _short(quote: str) -> str:
    line = quote.strip().replace("\n", " ")
    return repr(line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 3] + "...") if line else ""
