"""What a step would be given is made, or taken from the store; the step itself is not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmops_core.check import check
from llmops_core.errors import RecipeError, UsageError
from llmops_core.gc import collect
from llmops_core.hookspecs import Implementation, hookimpl
from llmops_core.manifest import all_runs
from llmops_core.preview import Previewing, needed, preview
from tests.conftest import Project
from tests.stand_ins import outputs


def how(project: Project) -> Previewing:
    return Previewing(project.plugins(), project.store)


def test_only_what_a_step_needs_is_run_and_nothing_the_second_time(project: Project) -> None:
    recipe = project.check()
    for _ in range(2):
        with preview(recipe, recipe.step("train"), how(project)) as found:
            assert {slot: one.digest for slot, one in found.inputs.items()} == {
                "model": all_runs(project.store)[0].step("model")["output"],
                "data": all_runs(project.store)[0].step("data")["output"],
            }
            assert found.run.scratch.is_dir()
        assert not found.run.scratch.exists()
    (run,) = all_runs(project.store)
    assert [step["name"] for step in run.document["steps"]] == ["data", "model"]
    assert [step["status"] for step in project.run().document["steps"]][:2] == ["reused", "reused"]


def test_looking_at_a_step_lets_go_of_nothing_that_the_whole_recipe_made(project: Project) -> None:
    whole = project.run()
    recipe = project.check("data.rows=9")
    with preview(recipe, recipe.step("train"), how(project)):
        pass
    assert len(all_runs(project.store)) == 2
    collect(project.store)
    assert all(project.store.is_whole(digest) for digest in outputs(whole))


def test_a_training_that_goes_on_from_another_is_looked_at_once_that_one_has_run(project: Project) -> None:
    recipe = project.check("train@second=fake")
    assert [step.name for step in needed(recipe, "second")] == ["data", "model", "train"]
    with (
        pytest.raises(UsageError, match="second goes on from what the step train gives, which has not run"),
        preview(recipe, recipe.step("second"), how(project)),
    ):
        pass
    assert all_runs(project.store) == []
    project.run("train@second=fake")
    with preview(recipe, recipe.step("second"), how(project)) as found:
        assert found.inputs["model"].digest == all_runs(project.store)[0].step("train")["output"]


def test_a_missing_library_is_told_with_what_to_install_and_others_are_not_asked_for(
    project: Project,
) -> None:
    class Needy:
        @hookimpl
        def llmops_implementations(self) -> list[Implementation]:
            return [
                Implementation("train", "needy", "fake_plugin:FakeTrain", "x:y", needs=("no_such_thing",)),
                Implementation("deploy", "needy", "fake_plugin:FakeRelease", "x:y", needs=("no_such_too",)),
            ]

    project.extra = [("needy", Needy())]
    lacking = check("./recipe.yaml", ["train=needy", "deploy=needy"], project.plugins(), modules=False)
    with pytest.raises(RecipeError) as caught, preview(lacking, lacking.step("train"), how(project)):
        pass
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == ("train", "needy needs no_such_thing, not installed here")


def test_a_store_of_a_newer_release_is_refused_and_left_alone(project: Project) -> None:
    (project.store.root).mkdir()
    place: Path = project.store.root / "store.json"
    place.write_text('{"format": 99}')
    recipe = project.check()
    with (
        pytest.raises(Exception, match="newer"),
        preview(recipe, recipe.step("train"), how(project)),
    ):
        pass
    assert place.read_text() == '{"format": 99}'
