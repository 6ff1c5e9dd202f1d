"""What the conformance kit tries this plugin on."""

from __future__ import annotations

import json
from collections.abc import Mapping

from llmops_core.testing import Example, Material


def examples(material: Material) -> Mapping[str, Example]:
    """Dialogues of the kit, and one that holds an address and a card number of many examples."""
    rows = material.rows()
    told = {
        "prompt": "Where do I write to?",
        "completion": "To kit@llmops.dev, or pay with 4111 1111 1111 1111.",
    }
    with rows.open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")
    return {"data/step=personal_data": Example({"action": "mask"})}
