"""Where a process stands among those that were started with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmops_core.errors import StepError
from llmops_core.place import Place, first_host, place_in
from llmops_core.worker import Worker
from tests.conftest import Project
from tests.core.test_worker import request
from tests.stand_ins import Instead

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "40001",
}


def test_torchrun_and_slurm_say_the_place_and_where_to_meet() -> None:
    assert place_in(TORCHRUN) == Place(3, 8, 1, "a:29500")
    assert place_in(SLURM) == Place(3, 8, 1, "gpu07:20001")
    assert place_in({**SLURM, "MASTER_ADDR": "b", "MASTER_PORT": "7"}).address == "b:7"


def test_the_script_of_a_job_with_many_tasks_is_alone() -> None:
    assert place_in({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}) == Place()
    assert place_in({**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}) == Place()


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[3-5,9],cpu1", "gpu3"),
        ("node-1,node-2", "node-1"),
        ("a[01-02]-ib", "a01-ib"),
        ("alone", "alone"),
        ("", ""),
    ],
)
def test_the_first_host_of_a_list_is_where_to_meet(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize("wrong", [{"RANK": "x"}, {"LOCAL_RANK": ""}, {"MASTER_ADDR": ""}])
def test_a_place_that_makes_no_sense_is_an_error(wrong: dict[str, str]) -> None:
    with pytest.raises(StepError):
        place_in({**TORCHRUN, **wrong})


@pytest.mark.parametrize("together", [False, True])
def test_only_what_runs_together_is_called_in_the_other_processes(project: Project, together: bool) -> None:
    run = project.run()
    seen: list[int] = []
    project.extra = [("look", Instead("data", lambda inner: seen.append(inner.place.rank)))]
    plugins = project.plugins()
    found = plugins.implementations
    for key, one in found.items():
        found[key] = replace(one, together=together)
    Worker(plugins, place=Place(1, 2)).assist(request(project, run, "data"))
    assert seen == ([1] if together else [])
    assert not list((project.store.root / "tmp").iterdir())
