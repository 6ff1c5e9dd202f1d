"""What the conformance kit tries this plugin on."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """Four optimizer steps on the kit's model, with a checkpoint after each."""
    small = {"max_steps": 4, "batch_size": 2, "validation_rows": 2, "checkpoint_every": 1}
    return {
        "train=lightning": Example(small),
        "train/objective=seq2seq": Example(untried="the kit has no model with an encoder and a decoder"),
    }
