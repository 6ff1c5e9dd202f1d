"""What flows between stages: a folder of files and a few facts about them.

Every field but `folder` and `digest` is part of an artifact's content, so none may hold a time, a
path or a host name. A field may hold another artifact: a tuned model holds its base, a release its
model and its scores, so that one digest covers all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A folder of files with facts. `digest` is empty until the store has taken it in.

    A step that returns an artifact whose `folder` is not the one it was given to write into hands
    over a reference: the files stay where they are, and the store keeps their digests.
    """

    folder: Path
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Dataset(Artifact):
    """Rows in named splits, one JSON object a line in `SPLIT.jsonl`.

    With shape "messages" a row is {"messages": [{"role": ..., "content": ...}, ...]} in the order
    spoken; the last message is the assistant's. `funnel` tells how many rows each step left:
    [{"step": name, "rows": count, "note": text}, ...].
    """

    rows: Mapping[str, int]
    shape: str
    funnel: Sequence[Mapping[str, Any]] = ()

    def path(self, split: str) -> Path:
        """Where a split's rows lie."""
        return self.folder / f"{split}.jsonl"

    def read(self, split: str) -> Iterator[dict[str, Any]]:
        """A split's rows, one after another."""
        with self.path(split).open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


@dataclass(frozen=True, kw_only=True)
class Model(Artifact):
    """Weights and tokenizer in the Hugging Face folder layout, or an adapter over `base`.

    A base model's folder holds config.json, safetensors and the tokenizer. An adapter's folder holds
    PEFT's adapter_config.json and adapter_model.safetensors; weights and tokenizer are `base`'s.
    """

    name: str
    parameters: int
    context: int
    """The longest sequence the model takes, in tokens."""
    base: Model | None = None


@dataclass(frozen=True, kw_only=True)
class Scores(Artifact):
    """What was measured on held-out rows, each number with its interval.

    `values` and `baseline` map a score's name to {"value", "low", "high", "better": "lower" or
    "higher"}; low and high bound the 95 % bootstrap interval. `values` also holds comparisons
    (`perplexity_ratio`). The folder holds samples.jsonl: {"prompt", "reference", "candidate",
    "baseline"} a line.
    """

    rows: int
    values: Mapping[str, Mapping[str, Any]]
    baseline: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Release(Artifact):
    """A model that passed its gates. The folder holds model_card.md.

    `gates` maps a score's name to {"value", "at_most" and/or "at_least", "passed"}; `prompt` what
    the model is asked with: {"chat_template_sha256": ..., ...}.
    """

    candidate: Model
    scores: Scores
    gates: Mapping[str, Mapping[str, Any]]
    prompt: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint(Artifact):
    """A served release. Live: never taken from the store. `process` is 0 once it was stopped."""

    url: str
    release: Release
    environment: str
    process: int


KINDS: Mapping[str, type[Artifact]] = {
    kind.__name__: kind for kind in (Dataset, Model, Scores, Release, Endpoint)
}
