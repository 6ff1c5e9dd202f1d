"""What the conformance kit tries this plugin on."""

from __future__ import annotations

from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """Dialogues of the kit in a file; the steps of the pipeline join in one at a time."""
    rows, others = material.rows(), material.rows("others.jsonl", 3)
    # the kit's dialogues are short, and no prose
    loose = {"min_words": 1, "min_stop_words": 0, "min_mean_word": 0, "min_alphabetic": 0}
    return {
        "data=dialogues": Example({"source": str(rows)}),
        "data/step=quality": Example(loose),
        "data/step=semantic": Example({"model": f"file:{material.model.folder}"}),
        "data/step=decontaminate": Example({"against": {"kit": {"address": f"file:{others}"}}}),
    }
