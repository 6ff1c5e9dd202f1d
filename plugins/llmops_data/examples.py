"""What the conformance kit tries this plugin on."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """Dialogues of the kit in a file; the steps of the pipeline join in one at a time."""
    return {"data=dialogues": Example({"source": str(material.rows())})}
