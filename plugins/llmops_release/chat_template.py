"""What the model is asked with: its chat template, read from the tokenizer's files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Model
from llmops_core.errors import StepError


def prompt_facts(candidate: Model) -> dict[str, Any]:
    """{"chat_template_sha256": of the template's text in UTF-8, or None where the tokenizer has none}."""
    template = chat_template(tokenizer_folder(candidate))
    digest = hashlib.sha256(template.encode()).hexdigest() if template is not None else None
    return {"chat_template_sha256": digest}


def tokenizer_folder(model: Model) -> Path:
    """Where weights and tokenizer lie: an adapter's are its base's."""
    while (model.folder / "adapter_config.json").is_file() and model.base is not None:
        model = model.base
    return model.folder


def chat_template(folder: Path) -> str | None:
    """The template that is used when none is named: chat_template.jinja, else tokenizer_config.json's."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    if not config.is_file():
        return None
    try:
        found = json.loads(config.read_text(encoding="utf-8")).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise StepError(
            "is not valid JSON", where=config.name, remedy="Bring the model's files again."
        ) from error
    if isinstance(found, list):
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None
