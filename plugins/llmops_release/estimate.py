"""What a release needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmops_core.hookspecs import Estimate

if TYPE_CHECKING:
    from llmops_release.config import GatedRelease


def estimate(config: GatedRelease, inputs: Mapping[str, Any]) -> Sequence[Estimate]:
    """Comparing numbers and writing a page: no download, no memory worth telling."""
    return (Estimate("time", 0.1, "compares scores with gates and writes a model card"),)
