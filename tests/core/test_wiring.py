"""Which step's artifact fills which slot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core.stages import BY_NAME, STAGES
from llmops_core.wiring import sequence, wire
from tests.conftest import RECIPE, Project

WHOLE = {stage.name: stage.name for stage in STAGES}
Told = list[tuple[str, str, str]]


def wired(
    stages: dict[str, str], rewired: dict[str, dict[str, str]] | None = None
) -> tuple[dict[str, dict[str, str]], Told]:
    told: Told = []
    return wire(stages, rewired or {}, lambda *problem: told.append(problem)), told


def test_every_slot_of_the_whole_flow_is_filled_by_the_table() -> None:
    inputs, told = wired(WHOLE)
    assert told == []
    assert inputs["train"] == {"model": "model", "data": "data"}
    assert inputs["evaluate"] == {"candidate": "train", "baseline": "model", "data": "data"}
    assert inputs["release"] == {"candidate": "train", "scores": "evaluate"}
    assert inputs["deploy"] == {"release": "release", "infra": "infra"}


def test_the_candidate_is_the_base_model_where_nothing_trains() -> None:
    inputs, _ = wired({name: stage for name, stage in WHOLE.items() if name != "train"})
    assert inputs["evaluate"] == {"candidate": "model", "data": "data"}


def test_a_second_training_starts_from_the_first_and_becomes_the_candidate() -> None:
    inputs, _ = wired({**WHOLE, "preference": "train"})
    assert inputs["preference"]["model"] == "train"
    assert inputs["evaluate"]["candidate"] == "preference"
    assert inputs["evaluate"]["baseline"] == "train"


def test_the_candidate_is_the_last_model_also_when_trainings_are_rewired_to_run_the_other_way() -> None:
    stages = {**WHOLE, "preference": "train"}
    inputs, told = wired(stages, {"train": {"model": "preference"}, "preference": {"model": "model"}})
    assert told == []
    assert inputs["evaluate"] == {"candidate": "train", "baseline": "preference", "data": "data"}
    assert inputs["release"]["candidate"] == "train"


def test_several_data_sets_leave_the_stage_s_own_as_the_default() -> None:
    inputs, told = wired({**WHOLE, "docs": "data"})
    assert (inputs["train"]["data"], told) == ("data", [])


def test_an_input_that_could_be_several_steps_is_asked_for() -> None:
    stages = {"docs": "data", "chats": "data", "model": "model", "train": "train"}
    _, told = wired(stages)
    assert told == [("train", "its input data could be docs or chats", "Write train.inputs.data=docs.")]


def test_an_input_that_nobody_makes_says_which_step_to_add() -> None:
    _, told = wired({"model": "model", "train": "train"})
    [(where, what, remedy)] = told
    assert (where, what) == ("train", "its input data (Dataset) has no step that makes it")
    assert "data=NAME" in remedy


@pytest.mark.parametrize(
    ("rewired", "where", "what", "remedy"),
    [
        ({"dta": "data"}, "train.inputs.dta", "a train step has no such input", "Did you mean data?"),
        ({"data": "dcos"}, "train.inputs.data", "there is no step dcos", "Did you mean docs?"),
        ({"data": "model"}, "train.inputs.data", "model gives a Model, and data is a Dataset", "data, docs"),
    ],
)
def test_a_wrong_rewiring_is_told(rewired: dict[str, str], where: str, what: str, remedy: str) -> None:
    _, told = wired({**WHOLE, "docs": "data"}, {"train": rewired})
    assert [one[:2] for one in told] == [(where, what)]
    assert remedy in told[0][2]


def test_steps_that_wait_for_each_other_are_named_without_those_behind_them(project: Project) -> None:
    project.write("recipe.yaml", RECIPE.replace("  - evaluate", "  - train@second: fake\n  - evaluate"))
    [found] = project.problems("train.inputs.model=second")
    assert found.where == "train"
    assert found.what == "these steps wait for each other: train, second"


@given(st.permutations(list(WHOLE)), st.integers(0, 3))
def test_every_step_comes_after_its_inputs_in_whatever_order_it_was_written(
    order: list[str], more: int
) -> None:
    stages = {name: WHOLE[name] for name in order} | {f"t{n}": "train" for n in range(more)}
    inputs, told = wired(stages)
    names = sequence(stages, inputs, lambda *problem: told.append(problem))
    assert told == []
    assert sorted(names) == sorted(stages)
    for name in names:
        assert all(names.index(source) < names.index(name) for source in inputs[name].values())
        wanted = {slot.name for slot in BY_NAME[stages[name]].takes if not slot.optional}
        assert wanted <= set(inputs[name])
