"""Reads and checks a folder in the Hugging Face layout, without loading its weights."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from llmops_core.errors import StepError
from llmops_core.step import StepRun

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
CONTEXT_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "seq_length",
    "max_seq_len",
    "max_seq_length",
)
UNSAID_CONTEXT = 2048
SPLIT_GGUF = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


def gguf_file(place: Path, file: str | None) -> Path | None:
    """The GGUF file to convert, or None where the place holds safetensors.

    Raises StepError when there are several and none is named, or the one named is not there.
    """
    if place.is_file():
        if place.suffix != ".gguf":
            raise StepError(
                "this file is neither a model's folder nor a GGUF file",
                where=place.name,
                remedy="Name the folder that holds config.json and the safetensors, or a .gguf file.",
            )
        return _whole(place)
    if not place.is_dir():
        raise StepError("there is no such folder", where=str(place), remedy="Check the path.")
    if file is not None:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            # a step's key covers the folder's content and nothing beside it
            raise StepError(f"{file} leads out of the folder", where="file", remedy="Name a file in it.")
        if not (place / file).is_file() or not file.endswith(".gguf"):
            raise StepError(
                f"the folder has no GGUF file {file}", where="file", remedy=_listing(place, "*.gguf")
            )
        return _whole(place / file)
    if any(place.glob("*.safetensors")):
        return None
    found = sorted(place.glob("*.gguf"))
    if len(found) > 1:
        raise StepError("several GGUF files lie there", where="file", remedy=_listing(place, "*.gguf"))
    return _whole(found[0]) if found else None


def _whole(file: Path) -> Path:
    if SPLIT_GGUF.search(file.name):
        raise StepError(
            "a GGUF model split into several files is not read",
            where=file.name,
            remedy="Join it with llama.cpp's gguf-split --merge, or take the safetensors.",
        )
    return file


def _listing(place: Path, pattern: str) -> str:
    names = sorted(path.name for path in place.glob(pattern))
    return f"Set file to one of: {', '.join(names)}." if names else "It holds none."


def check(folder: Path, run: StepRun) -> None:
    """Refuse a folder that no model can be read from safely; warn of a missing chat template."""
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        what = "this is an adapter, not a whole model" if adapter else "the model's folder has no config.json"
        remedy = "Merge it into its base first." if adapter else "Name the folder that holds config.json."
        raise StepError(what, where=str(folder), remedy=remedy)
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise StepError(
                f"the weights are a pickle ({pickles[0]}), which may run any code when opened",
                where=str(folder),
                remedy="Take a revision with safetensors, or convert them where you trust them.",
            )
        raise StepError("the model's folder has no weights (*.safetensors)", where=str(folder))
    _check_shards(folder)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        remedy = f"It needs one of: {', '.join(TOKENIZERS)}."
        raise StepError("the model's folder has no tokenizer", where=str(folder), remedy=remedy)
    if not has_chat_template(folder):
        run.warn("the model has no chat template: it can be asked for completions, but not tuned on messages")


def _check_shards(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    absent = sorted(
        name for name in set(_json(index)["weight_map"].values()) if not (folder / name).is_file()
    )
    if absent:
        remedy = "Download the model again."
        raise StepError(
            f"{len(absent)} weight files are missing, {absent[0]} first", where=str(folder), remedy=remedy
        )


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer says how messages become text."""
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    says = folder / "tokenizer_config.json"
    return says.is_file() and bool(_json(says).get("chat_template"))


def parameters(folder: Path) -> int:
    """How many numbers the weights hold, from the files' headers; tied weights are stored once."""
    total = 0
    for file in _weight_files(folder):
        try:
            with safe_open(file, framework="numpy") as tensors:
                names = tensors.keys()
                total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
        except SafetensorError as error:
            raise StepError(f"the weights cannot be read: {error}", where=file.name) from error
    return total


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return [folder / name for name in sorted(set(_json(index)["weight_map"].values()))]
    single = folder / "model.safetensors"
    return [single] if single.is_file() else sorted(folder.glob("*.safetensors"))


def context(folder: Path, run: StepRun) -> int:
    """The longest sequence the model takes, in tokens."""
    says = _json(folder / "config.json")
    for part in (says, says.get("text_config") or {}):
        for name in CONTEXT_NAMES:
            if isinstance(part.get(name), int):
                return int(part[name])
    run.warn(f"the model does not say how long a sequence it takes: {UNSAID_CONTEXT} tokens are assumed")
    return UNSAID_CONTEXT


def described(folder: Path, parameters: int) -> str:
    """A name made of the architecture and size, for weights that have no name of their own."""
    architecture = _json(folder / "config.json").get("model_type", "model")
    return f"{architecture}-{parameters / 1e6:.0f}M" if parameters >= 1e6 else f"{architecture}-{parameters}"


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StepError(f"not valid JSON: {error}", where=str(file)) from error
    if not isinstance(found, dict):
        raise StepError("not a JSON object", where=str(file))
    return found
