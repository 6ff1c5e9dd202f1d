"""The fields of the data step `acme_phrases`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmops_core.settings import setting


@dataclass(frozen=True)
class AcmePhrases:
    """Leaves out rows whose answer begins with a phrase nobody wants."""

    phrases: Sequence[str] = setting(("As an AI", "I cannot"), doc="What an answer may not begin with.")
    most: float = setting(
        0.5, doc="The largest share of rows that may be left out; more is an error.", above=0, at_most=1
    )
    examples: int = setting(
        0, doc="How many rows that were left out are told in the log.", unit="rows", at_least=0, output=False
    )
