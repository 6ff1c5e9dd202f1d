"""What the conformance kit tries this plugin on."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """A gate that the kit's scores pass."""
    return {"release=gated": Example({"gates": {"exact_match": {"at_least": 0.1}}})}
