"""What the conformance kit tries this plugin on."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """The folder of the kit's model."""
    return {"model=open_weights": Example({"path": str(material.model.folder)})}
