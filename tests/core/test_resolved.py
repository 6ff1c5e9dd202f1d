"""A recipe written out whole is a recipe that does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from llmops_core.config import Recipe
from llmops_core.resolved import as_yaml, escaped, resolved
from tests.conftest import RECIPE, Project
from tests.core.test_check import llmops
from tests.core.test_keys import keys_of, recipes

settled = settings(max_examples=9, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def again(project: Project, recipe: Recipe, *, origins: bool = False) -> Recipe:
    """The recipe, written out elsewhere and read back."""
    project.write("far/whole.yaml", as_yaml(recipe, origins=origins))
    return project.check(recipe="far/whole.yaml")


def same(project: Project, one: Recipe, other: Recipe) -> None:
    assert resolved(other) == resolved(one)
    assert [step.name for step in other.steps] == [step.name for step in one.steps]
    assert keys_of(other, project) == keys_of(one, project)


@settled
@given(recipes, st.booleans())
def test_any_recipe_written_out_reads_back_as_the_same(
    project: Project, document: Any, origins: bool
) -> None:
    text = yaml.safe_dump(document, sort_keys=False) if document else ""
    project.write("recipe.yaml", RECIPE + text)
    recipe = project.check()
    same(project, recipe, again(project, recipe, origins=origins))


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["${", "}", "\\", "$", "{", "a", ":", "'", '"', "#", "\n", " "])).map("".join)
)
def test_a_text_with_signs_of_interpolation_is_written_so_that_it_stays_a_text(text: str) -> None:
    written = yaml.safe_dump({"a": escaped(text)}, allow_unicode=True)
    assert OmegaConf.create(yaml.safe_load(written)).a == text


def test_a_long_text_keeps_its_lines_beside_origins(project: Project) -> None:
    project.write(
        "recipe.yaml", RECIPE + "data:\n  added: |\n    two # no comment\n\n    lines ${oc.env:HOME}\n"
    )
    recipe = project.check()
    found = again(project, recipe, origins=True)
    assert found.step("data").config.added == recipe.step("data").config.added


def test_wiring_environment_secrets_and_second_steps_survive(project: Project) -> None:
    project.write("rows", "")
    recipe = project.check(
        *(
            "data@docs=fake",
            "docs.source=rows",
            "docs.token=${secret:HF_TOKEN}",
            "train@second=fake",
            "env=prod",
        ),
        *(
            "evaluate.inputs.data=docs",
            "second.tuning=large",
            "data.steps.share.share=0.5",
            "train.time_limit=9",
        ),
    )
    found = again(project, recipe)
    same(project, recipe, found)
    assert found.environment == "prod"
    assert found.step("docs").config.token == "${secret:HF_TOKEN}"
    assert found.step("docs").config.source == str(project.folder / "rows")
    assert found.step("evaluate").inputs == recipe.step("evaluate").inputs


def test_a_recipe_written_out_takes_overrides_like_any_other(project: Project) -> None:
    whole = project.write("whole.yaml", as_yaml(project.check("train@second=fake")))
    changed = project.check("second.tuning=large", "train.lr=3", "~deploy", "env=staging", recipe=str(whole))
    assert changed.step("second").config.tuning.use == "large"
    assert changed.step("train").config.lr == 3
    assert changed.environment == "staging"
    assert "deploy" not in [step.name for step in changed.steps]


def test_origins_stand_beside_the_values_that_were_written(project: Project) -> None:
    project.write("recipe.yaml", RECIPE + "train:\n  lr: 3\nabout: |\n  two\n  lines\n")
    lines = as_yaml(project.check("model.size=4"), origins=True).splitlines()
    assert "  lr: 3.0  # recipe.yaml:11" in lines
    assert "  size: 4  # command line" in lines
    assert not any("warmup_steps" in line and "#" in line for line in lines)


def test_the_quickstart_shown_and_run_from_a_file_has_the_same_keys(project: Project) -> None:
    recipe = project.check(recipe="quickstart")
    shown = llmops(project.folder, "show", "config", "quickstart")
    assert shown.returncode == 0, shown.stderr
    Path("y.yaml").write_text(shown.stdout)
    same(project, recipe, project.check(recipe="./y.yaml"))
    assert llmops(project.folder, "check", "./y.yaml").returncode == 0


@pytest.mark.parametrize("name", ["quickstart"])
def test_nothing_of_a_shown_recipe_is_left_to_defaults(project: Project, name: str) -> None:
    document = resolved(project.check(recipe=name))
    assert document["train"]["use"] == "lightning"
    assert document["train"]["tuning"]["use"] == "lora"
    assert {"retry", "time_limit", "inputs", "lr"} <= set(document["train"])
    assert document["format"] == 1
