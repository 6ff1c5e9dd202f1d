"""What the server's process is told: one JSON file, without recipe, composition or secret."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core.artifacts import Release
from llmops_core.errors import StepError
from llmops_serve.config import OpenaiServerDeploy

FORMAT = 1
API_KEY_VARIABLE = "LLMOPS_SERVE_API_KEY"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Everything a server needs beside its socket and its key."""

    release: str
    """The release's digest."""
    model_name: str
    weights: str
    """The folder with whole weights and the tokenizer."""
    adapter: str | None
    context: int
    max_new_tokens: int
    temperature: float
    max_requests: int
    max_batch: int
    stop_limit: float
    threads: int | None
    device: str
    dtype: str
    merge_adapter: bool
    below: Sequence[str] = ()
    """Adapters that `adapter` was trained over, the first trained first: added into the weights."""
    format: int = FORMAT

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.write_text(
            json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )

    @classmethod
    def read(cls, path: Path) -> ServerSettings:
        """What `write` kept. Raises StepError when another version wrote it."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values.get("format") != FORMAT:
            raise StepError(
                f"server settings of format {values.get('format')}, not {FORMAT}", where=str(path)
            )
        return cls(**values)


def settings_for(config: OpenaiServerDeploy, release: Release) -> ServerSettings:
    """What the server of `release` is told. Raises StepError for a model that cannot be served."""
    model = release.candidate
    weights, adapters = model, list[str]()
    while (weights.folder / "adapter_config.json").exists():
        adapters.insert(0, str(weights.folder.absolute()))
        if weights.base is None:
            raise StepError(
                f"{weights.name} is an adapter, and the release does not say over which base model",
                remedy="Train it again with this version of llmops.",
            )
        weights = weights.base
    return ServerSettings(
        release=release.digest,
        model_name=config.model_name or model.name,
        weights=str(weights.folder.absolute()),
        adapter=adapters[-1] if adapters else None,
        below=tuple(adapters[:-1]),
        context=weights.context,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        max_requests=config.max_requests,
        max_batch=config.max_batch,
        stop_limit=config.stop_limit,
        threads=config.threads,
        device=config.device,
        dtype=config.dtype,
        merge_adapter=config.merge_adapter,
    )
