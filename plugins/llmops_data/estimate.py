"""What the data stage needs, as far as its config tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmops_core.hookspecs import Estimate

if TYPE_CHECKING:
    from llmops_data.config import DialogueData


def estimate(config: DialogueData, inputs: Mapping[str, Any]) -> Sequence[Estimate]:
    """The download of all sources whose size the recipe states; each package once."""
    remote = {
        (source.sha256 or source.address): source.size
        for source in config.sources.values()
        if not source.address.startswith("file:")
    }
    if not remote:
        return ()
    unknown = sum(size == 0 for size in remote.values())
    basis = f"the recipe's sizes; {unknown} not stated" if unknown else "the sizes that the recipe states"
    total = sum(remote.values())
    return (Estimate("download", float(total), basis),) if total else ()
