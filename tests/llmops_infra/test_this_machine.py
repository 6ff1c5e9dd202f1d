"""This machine as a cluster of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmops_core.artifacts import Cluster
from llmops_core.errors import StepError
from llmops_core.manifest import machine
from llmops_core.step import StepRun
from llmops_infra.config import ThisMachineInfra
from llmops_infra.this_machine import this_machine
from tests.conftest import Project


def step_run(folder: Path) -> StepRun:
    """A step in an empty folder."""
    return StepRun(folder=folder, scratch=folder, cache=folder, state=folder, step="infra")


def test_this_machine_is_a_cluster_of_one(tmp_path: Path) -> None:
    found = this_machine(ThisMachineInfra(), step_run(tmp_path))
    assert found.hosts == ("127.0.0.1",)
    assert (found.cores, found.memory) == (machine()["cores"], machine()["memory"])
    assert "1 machine" in found.summary()


def test_a_machine_that_is_too_small_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"cores \d+ of 9999, memory .* of 1e\+06 GB"):
        this_machine(ThisMachineInfra(min_cores=9999, min_memory=1e6), step_run(tmp_path))


def test_accelerators_are_named_by_the_drivers_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3'\necho 'NVIDIA H100 80GB HBM3'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = this_machine(ThisMachineInfra(min_gpus=2), step_run(tmp_path))
    assert found.gpus == ("NVIDIA H100 80GB HBM3",) * 2


def test_a_recipe_that_names_a_machine_acts_on_it_every_time_before_it_deploys(project: Project) -> None:
    project.run("infra=this_machine")
    again = project.run("infra=this_machine")
    infra = again.step("infra")
    assert infra["status"] == "done"
    assert isinstance(again.artifact(infra["output"]), Cluster)
    assert again.step("deploy")["inputs"]["infra"] == infra["output"]
    assert again.step("train")["status"] == "reused"
