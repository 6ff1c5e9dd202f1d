"""Small artifacts of every kind that flows, made by the kit: what an implementation is tried on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from llmops_core.artifacts import Artifact, Dataset, Endpoint, Model, Release, Scores
from llmops_core.store import Store
from llmops_core.testing import tiny_model

A = TypeVar("A", bound=Artifact)
SPLITS = {"train": 12, "validation": 4, "test": 6}
"""Rows of each split."""


@dataclass(frozen=True)
class Material:
    """Artifacts in a store of their own. The same content wherever the store lies.

    `folder` is for files that an example needs beside them (a JSONL file to read, for instance).
    """

    folder: Path

    @property
    def store(self) -> Store:
        """Where they are kept."""
        return Store(self.folder / "store")

    def of(self, kind: str, slot: str = "") -> Artifact | None:
        """An artifact of a kind for a slot of a stage, or None when the kit makes none of it."""
        if slot == "candidate":
            return self.tuned
        make = MAKERS.get(kind)
        return make(self) if make else None

    @cached_property
    def dataset(self) -> Dataset:
        """Short dialogues in train, validation and test."""

        def make(folder: Path) -> Dataset:
            at = 0
            for split, count in SPLITS.items():
                write_rows(folder / f"{split}.jsonl", at, count)
                at += count
            return Dataset(
                folder=folder, rows=SPLITS, shape="messages", funnel=({"step": "read", "rows": at},)
            )

        return self.keep(make)

    @cached_property
    def model(self) -> Model:
        """A random Llama of 27,000 parameters with a tokenizer and a chat template."""
        return self._model("tiny", 1)

    @cached_property
    def tuned(self) -> Model:
        """Another model of the same shape."""
        return self._model("tiny-tuned", 2)

    @cached_property
    def scores(self) -> Scores:
        """Two scores of `tuned` beside those of `model`."""
        values = {"exact_match": _score(0.4, "higher"), "perplexity": _score(20.0, "lower")}
        before = {"exact_match": _score(0.2, "higher"), "perplexity": _score(40.0, "lower")}

        def make(folder: Path) -> Scores:
            sample = {"prompt": "What is 1?", "reference": "It is 1.", "candidate": "1", "baseline": "2"}
            (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n", encoding="utf-8")
            ratio = {"perplexity_ratio": _score(0.5, "lower")}
            return Scores(folder=folder, rows=SPLITS["test"], values=values | ratio, baseline=before)

        return self.keep(make)

    @cached_property
    def release(self) -> Release:
        """`tuned`, released."""
        gates = {"exact_match": {"value": 0.4, "at_least": 0.3, "passed": True}}
        template = hashlib.sha256(tiny_model.TEMPLATE.encode()).hexdigest()

        def make(folder: Path) -> Release:
            (folder / "model_card.md").write_text("# tiny\n", encoding="utf-8")
            prompt = {"chat_template_sha256": template}
            return Release(
                folder=folder, candidate=self.tuned, scores=self.scores, gates=gates, prompt=prompt
            )

        return self.keep(make)

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where `release` was served once; nothing answers there now."""

        def make(folder: Path) -> Endpoint:
            url = "http://127.0.0.1:9"
            return Endpoint(folder=folder, url=url, release=self.release, environment="dev", process=0)

        return self.keep(make)

    def rows(self, name: str = "rows.jsonl", count: int = 40) -> Path:
        """A file of dialogues in `folder`, one JSON object a line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_rows(self.folder / name, 0, count)
        return self.folder / name

    def keep(self, make: Callable[[Path], A]) -> A:
        """Store the artifact that `make` writes into the folder it is given."""
        self.store.prepare()
        temporary = self.store.temporary("material")
        made = self.store.publish(make(temporary / "files"), temporary)
        return cast("A", made)

    def _model(self, name: str, seed: int) -> Model:
        def make(folder: Path) -> Model:
            count = tiny_model.write(folder, seed)
            return Model(folder=folder, name=name, parameters=count, context=tiny_model.CONTEXT)

        return self.keep(make)


MAKERS: Mapping[str, Callable[[Material], Artifact]] = {
    "Dataset": lambda material: material.dataset,
    "Model": lambda material: material.model,
    "Scores": lambda material: material.scores,
    "Release": lambda material: material.release,
    "Endpoint": lambda material: material.endpoint,
}
"""What the kit makes for a slot, by the kind of artifact that fits it."""


def write_rows(path: Path, first: int, count: int) -> None:
    """Write dialogues of one question and its answer; no two are alike."""
    lines = []
    for number in range(first, first + count):
        asked = f"What is {number} and {number * 7 % 13}?"
        said = f"It is {number + number * 7 % 13}, {'well ' * (number % 4)}that is all."
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"messages": messages}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def _score(value: float, better: str) -> dict[str, Any]:
    return {"value": value, "low": value * 0.9, "high": value * 1.1, "better": better}
