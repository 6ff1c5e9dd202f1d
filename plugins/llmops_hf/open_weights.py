"""Gives a recipe its model: brings the weights, checks them, and converts them where they are GGUF."""

from __future__ import annotations

from pathlib import Path

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_hf import layout
from llmops_hf.config import HfModel


def open_weights(config: HfModel, run: StepRun) -> Model:
    """The model at `config.address` or `config.path`, by reference unless it has to be converted.

    Raises StepError when the weights are not in a format that can be read safely, FetchError and
    OfflineError when they cannot be brought.
    """
    place = _place(config, run)
    gguf = layout.gguf_file(place, config.file)
    if gguf is not None:
        from llmops_hf.gguf_conversion import convert

        run.log(f"converting {gguf.name} to safetensors, once")
        convert(gguf, run.folder, run)
        folder = run.folder
    else:
        folder = place
    layout.check(folder, run)
    parameters = layout.parameters(folder)
    name = config.name or _name(config, gguf) or layout.described(folder, parameters)
    return Model(folder=folder, name=name, parameters=parameters, context=layout.context(folder, run))


def _place(config: HfModel, run: StepRun) -> Path:
    if config.address and not config.path:
        return run.fetch(config.address, config.sha256, token=config.token)
    if config.path and not config.address:
        return Path(config.path).expanduser()
    raise StepError(
        "a model needs an address or a path, and only one of them",
        where=run.step,
        remedy=f"Set {run.step}.path=FOLDER or {run.step}.address=hf://ORG/NAME@REVISION.",
    )


def _name(config: HfModel, gguf: Path | None) -> str:
    """A name that does not depend on where the weights lie."""
    address = (config.address or "").split("@")[0]
    if address.startswith("hf://"):
        return address.rsplit("/", 1)[-1]
    # a file that the path itself names may be renamed without a change of content
    if gguf is None or (config.path and Path(config.path).expanduser() == gguf):
        return ""
    stem, dot, suffix = gguf.stem.rpartition(".")
    quantized = suffix.upper().startswith(("Q", "IQ", "F16", "F32", "BF16"))
    return stem if dot and quantized else gguf.stem
