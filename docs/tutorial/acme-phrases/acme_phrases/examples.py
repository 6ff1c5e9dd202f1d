"""What the conformance kit tries this plugin on. The kit makes the inputs; give fields that must be set."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """By what a recipe writes: the fields to try it with."""
    return {"data/step=acme_phrases": Example()}
