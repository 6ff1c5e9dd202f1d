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

    def summary(self) -> str:
        """What it is, on one line for a person."""
        return type(self).__name__


@dataclass(frozen=True, kw_only=True)
class Cluster(Artifact):
    """Machines that are there to be used. Live: never taken from the store.

    Each of `hosts` is an address that steps reach it by ("127.0.0.1": this machine) and has `cores`
    processor cores, `memory` bytes, and the accelerators named in `gpus` ("NVIDIA H100 80GB HBM3").
    """

    hosts: Sequence[str]
    cores: int
    memory: int
    gpus: Sequence[str] = ()

    def summary(self) -> str:
        """ "1 machine: 2 cores, 25.3 GB, no GPU"."""
        gpus = ", ".join(self.gpus) or "no GPU"
        machines = f"{len(self.hosts)} machine{'' if len(self.hosts) == 1 else 's'}"
        return f"{machines}: {self.cores} cores, {self.memory / 1e9:.1f} GB, {gpus}"


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

    def summary(self) -> str:
        """ "1,962 -> 871 rows (train 700, test 171)"."""
        kept = sum(self.rows.values())
        before = f"{self.funnel[0]['rows']:,} -> " if self.funnel and "rows" in self.funnel[0] else ""
        splits = ", ".join(f"{name} {rows:,}" for name, rows in self.rows.items())
        return f"{before}{kept:,} rows ({splits})"

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

    def summary(self) -> str:
        """ "SmolLM2-135M-Instruct, 134.5 M parameters"."""
        return f"{self.name}, {self.parameters / 1e6:,.1f} M parameters"


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

    def summary(self) -> str:
        """ "perplexity 38.1 -> 21.4 · rouge_l 0.12 -> 0.18, on 80 rows": the first three scores."""
        parts: list[str] = []
        for name, score in self.values.items():
            if name in self.baseline:
                parts.append(f"{name} {self.baseline[name]['value']:.3g} -> {score['value']:.3g}")
            elif not self.baseline:
                parts.append(f"{name} {score['value']:.3g}")
        return f"{' · '.join(parts[:3])}, on {self.rows:,} rows"


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

    def summary(self) -> str:
        """ "2 of 2 gates passed"."""
        passed = sum(bool(gate["passed"]) for gate in self.gates.values())
        return f"{passed} of {len(self.gates)} gates passed"


@dataclass(frozen=True, kw_only=True)
class Endpoint(Artifact):
    """A served release. Live: never taken from the store. `process` is 0 once it was stopped."""

    url: str
    release: Release
    environment: str
    process: int

    def summary(self) -> str:
        """ "http://127.0.0.1:8000 answered, stopped"."""
        return f"{self.url} answered, {'stays up' if self.process else 'stopped'}"


KINDS: Mapping[str, type[Artifact]] = {
    kind.__name__: kind for kind in (Cluster, Dataset, Model, Scores, Release, Endpoint)
}
