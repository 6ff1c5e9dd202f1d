"""How long texts are in tokens: by a tokenizer that somebody names or a run used, else by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmops_core.artifacts import Model
from llmops_core.errors import LlmopsError, UsageError
from llmops_core.manifest import read_run
from llmops_core.store import Store
from llmops_data.versions import Version
from llmops_data.words import words

FILE = "tokenizer.json"


@dataclass(frozen=True)
class Measure:
    """What lengths are counted in ("tokens" or "words"), by what, and how."""

    unit: str
    by: str
    lengths: Callable[[Sequence[str]], list[int]]


def _in_words(texts: Sequence[str]) -> list[int]:
    return [len(words(text)) for text in texts]


IN_WORDS = Measure("words", "no tokenizer is known: name one with --tokenizer FOLDER", _in_words)


def measure(store: Store, version: Version, folder: Path | None) -> Measure:
    """By the tokenizer in `folder` (or the tokenizer.json it is), else by the one of the model that the
    dataset's run used, else in words. Raises UsageError for a folder without one."""
    if folder is not None:
        path = folder / FILE if folder.is_dir() else folder
        if not path.is_file():
            raise UsageError(
                f"there is no {FILE} in {folder}", remedy="Name the folder of a model with a fast tokenizer."
            )
        return _tokens(path, path.parent.resolve().name)
    for model in _models(store, version):
        path = model.folder / FILE
        if path.is_file():
            try:
                return _tokens(path, model.name)
            except UsageError as error:
                return Measure("words", f"{error}", _in_words)
    return IN_WORDS


def _models(store: Store, version: Version) -> list[Model]:
    """The models that the run of a dataset used, and what they were tuned from."""
    found: list[Model] = []
    try:
        steps = read_run(store, version.run).document.get("steps", ()) if version.run else ()
        for record in steps:
            if record.get("stage") == "model" and record.get("output"):
                artifact = store.open(str(record["output"]))
                while isinstance(artifact, Model):
                    found.append(artifact)
                    if artifact.base is None:
                        break
                    artifact = artifact.base
    except LlmopsError:
        return found  # removed since by gc: lengths are told in words, and the report says so
    return found


def _tokens(path: Path, name: str) -> Measure:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        what = f"counting the tokens of {name} needs tokenizers, which is not installed"
        raise UsageError(what, remedy="Run: pip install tokenizers") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise UsageError(f"{path} is no tokenizer: {error}", remedy="Name another folder.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def lengths(texts: Sequence[str]) -> list[int]:
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return [len(one.ids) for one in tokenizer.encode_batch(clean, add_special_tokens=False)]

    return Measure("tokens", f"the tokenizer of {name}, without a chat template", lengths)
