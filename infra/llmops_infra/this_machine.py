"""This machine as a cluster of one."""

from __future__ import annotations

import shutil
import subprocess

from llmops_core.artifacts import Cluster
from llmops_core.errors import StepError
from llmops_core.manifest import machine
from llmops_core.step import StepRun
from llmops_infra.config import ThisMachineInfra

HERE = "127.0.0.1"


def this_machine(config: ThisMachineInfra, run: StepRun) -> Cluster:
    """The machine this runs on. Raises StepError when it has less than the recipe asks for."""
    about = machine()
    found = Cluster(
        folder=run.folder, hosts=(HERE,), cores=about["cores"], memory=about["memory"], gpus=_gpus(run)
    )
    lacks = [
        f"{word} {has:g} of {wanted:g}{unit}"
        for word, has, wanted, unit in (
            ("cores", found.cores, config.min_cores, ""),
            ("memory", found.memory / 1e9, config.min_memory, " GB"),
            ("GPUs", len(found.gpus), config.min_gpus, ""),
        )
        if has < wanted
    ]
    if lacks:
        raise StepError(
            f"this machine has {', '.join(lacks)}", where=run.step, remedy="Take a larger machine."
        )
    return found


def _gpus(run: StepRun) -> tuple[str, ...]:
    """The names of NVIDIA accelerators, as the driver's own tool tells them."""
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        run.warn(f"nvidia-smi cannot be asked for accelerators: {error}")
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
