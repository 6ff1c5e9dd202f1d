"""What the conformance kit tries this plugin on."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """A server that stays up, so that there is something to release."""
    small = {"keep": True, "max_new_tokens": 4, "probe_max_tokens": 4, "threads": 1}
    return {"deploy=openai_server": Example(small)}
