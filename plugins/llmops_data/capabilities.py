"""Which libraries the sources of a recipe need beyond those of the stage. Light: read when it is checked."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping

from llmops_core.errors import Problem
from llmops_data.config import DialogueData, Source

STORES: Mapping[str, tuple[str, str]] = {
    "s3": ("s3fs", "llmops[s3]"),
    "s3a": ("s3fs", "llmops[s3]"),
    "gs": ("gcsfs", "gcsfs"),
    "gcs": ("gcsfs", "gcsfs"),
    "az": ("adlfs", "adlfs"),
    "abfs": ("adlfs", "adlfs"),
    "lakefs": ("lakefs_spec", "lakefs-spec"),
}
"""Scheme -> the module that opens it, and what to install for it."""


def problems(config: DialogueData, name: str) -> Iterator[Problem]:
    """What cannot be opened on this machine; `name` is the step's."""
    for label, source in sources_in(config, name):
        scheme = source.address.partition(":")[0].lower()
        module, package = STORES.get(scheme, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            what = f"{scheme}:// needs {module}, not installed here"
            yield Problem(f"{label}.address", what, f"Run: pip install '{package}'")


def sources_in(config: DialogueData, name: str) -> Iterator[tuple[str, Source]]:
    """Every source with its place in the recipe, those of steps too."""
    for key, source in config.sources.items():
        yield f"{name}.sources.{key}", source
    for step, part in config.steps.items():
        for key, source in getattr(part.config, "against", {}).items():
            yield f"{name}.steps.{step}.against.{key}", source
