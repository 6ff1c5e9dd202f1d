"""What the conformance kit tries this plugin on."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """Every metric at once on a few short answers of the kit's models."""
    metrics: dict[str, dict[str, object]] = {
        name: {} for name in ("perplexity", "exact_match", "bleu", "rouge_l")
    }
    small = {"metrics": metrics, "max_new_tokens": 4, "resamples": 100, "samples": 2}
    return {"evaluate=answers": Example(small)}
