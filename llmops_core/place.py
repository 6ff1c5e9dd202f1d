"""A process's place among those that torchrun or Slurm's srun started to run one request together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from llmops_core.errors import StepError

FIRST_PORT, PORTS = 20_000, 20_000
"""Where processes of a Slurm job meet: a port that follows from its number, as nobody tells them one."""


@dataclass(frozen=True)
class Place:
    """By default a process is alone."""

    rank: int = 0
    size: int = 1
    local: int = 0
    """Its place among those on its machine: the number of its GPU."""
    address: str = ""
    """"host:port" where all of them can meet the first."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes what comes out."""
        return self.rank == 0


def place_in(environment: Mapping[str, str]) -> Place:
    """The place that the variables of torchrun or of srun say. Raises StepError when they make no sense."""
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _place(environment, "RANK", "WORLD_SIZE", "LOCAL_RANK")
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        # of the step, not of the job: the script of a job with many tasks is itself one process
        return _place(environment, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    return Place()


def _place(environment: Mapping[str, str], rank: str, size: str, local: str) -> Place:
    try:
        numbers = {name: int(environment[name]) for name in (rank, size, local)}
    except (KeyError, ValueError) as error:
        said = ", ".join(f"{name}={environment.get(name, '')}" for name in (rank, size, local))
        raise StepError(
            f"this process's place among others is not to be understood: {said}",
            remedy="Start it with torchrun or srun, or unset these variables.",
        ) from error
    if numbers[size] == 1:
        return Place(local=numbers[local])
    return Place(numbers[rank], numbers[size], numbers[local], _address(environment))


def _address(environment: Mapping[str, str]) -> str:
    host = environment.get("MASTER_ADDR") or first_host(environment.get("SLURM_STEP_NODELIST", ""))
    port = environment.get("MASTER_PORT") or str(
        FIRST_PORT + int(environment.get("SLURM_JOB_ID", "0")) % PORTS
    )
    if not host:
        raise StepError(
            "nothing says where the first process is to be met",
            remedy="Set MASTER_ADDR and MASTER_PORT, or start the processes with torchrun or srun.",
        )
    return f"{host}:{port}"


def first_host(nodes: str) -> str:
    """The first host of Slurm's list: "gpu3" of "gpu[3-5,9],cpu1"; "" of an empty one."""
    found = re.match(r"([^,\[]*)(?:\[(\w+)[^\]]*\]([^,]*))?", nodes)
    return "".join(part or "" for part in found.groups()) if found else ""
