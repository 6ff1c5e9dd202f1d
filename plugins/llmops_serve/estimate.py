"""What serving needs, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmops_core.artifacts import Release
from llmops_core.hookspecs import Estimate
from llmops_serve.config import OpenaiServerDeploy

LIBRARIES_BYTES = 600e6
START_SECONDS = 12.0
READ_BYTES_A_SECOND = 500e6


def openai_server(config: OpenaiServerDeploy, inputs: Mapping[str, Any]) -> Sequence[Estimate]:
    """Memory and time; without a known release only the time to start."""
    release = inputs.get("release")
    if not isinstance(release, Release):
        return [Estimate("time", START_SECONDS, "importing the libraries; the model is not known yet")]
    model = release.candidate
    parameters = model.parameters + (model.base.parameters if model.base else 0)
    width = 4 if config.dtype in ("auto", "float32") else 2
    weights = parameters * width
    return [
        Estimate(
            "memory",
            weights * 1.2 + LIBRARIES_BYTES,
            f"{parameters / 1e6:.0f} M parameters of {width} bytes, a fifth for caches, 0.6 GB of libraries",
        ),
        Estimate(
            "time",
            START_SECONDS + weights / READ_BYTES_A_SECOND,
            "importing the libraries, reading the weights at 0.5 GB/s and one answer, on two cores",
        ),
    ]
