"""Overrides, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops_core.defaults import Default, Written
from llmops_core.errors import LlmopsError
from llmops_core.overrides import Reader
from tests.conftest import RECIPE, Project

WITHOUT_DEPLOY = RECIPE.replace("  - deploy: fake\n", "")
STEPS = "data:\n  steps:\n    share: {share: 0.5}\n    length: {use: share, share: 0.25}\n"


def read(typed: str) -> Any:
    """The value that one override sets."""
    out = Reader(Written(), frozenset(), lambda group: ()).read([typed])
    assert out.problems == []
    [(_, _, value)] = out.values
    return value


plain_text = st.text(
    st.characters(codec="utf-8", exclude_characters=",'\"\\[]{}()$", exclude_categories=["Cc"])
)


@given(plain_text.map(str.strip).filter(lambda text: not _number(text)))
def test_a_plain_text_needs_no_quotes(text: str) -> None:
    assert read(f"about={text}") == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_a_text_in_quotes_is_read_as_it_is(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"') if text.endswith("\\") or '"' in text else text
    if "\\" in text:
        return  # Hydra's own rules of escaping hold there
    assert read(f'about="{quoted}"') == text


@given(
    st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)
def test_numbers_and_words_of_json_are_read_as_such(value: Any) -> None:
    found = read(f"x={json.dumps(value)}")
    assert (found, type(found)) == (value, type(value))


@given(
    st.lists(st.integers() | st.text("abc", min_size=2).filter(lambda text: not _number(text)), max_size=4)
)
def test_lists_are_read_in_order(values: list[Any]) -> None:
    assert read(f"x=[{','.join(str(one) for one in values)}]") == values


def _number(text: str) -> bool:
    if text.lower() in ("null", "true", "false", "nan", "inf"):
        return True
    try:
        float(text.replace("_", ""))
    except ValueError:
        return False
    return True


@given(st.lists(st.text(max_size=12), max_size=4))
def test_whatever_is_typed_is_read_or_told(typed: list[str]) -> None:
    written = Written()
    written.choose(Default("train", "train", "fake", "here"))
    out = Reader(written, frozenset({"train", "train/tuning"}), lambda group: ["fake"]).read(typed)
    said = len(out.choices) + len(out.values) + len(out.removed) + len(out.problems)
    assert said >= len({text for text in typed if text.startswith("~")}) or not typed


@settings(max_examples=25, deadline=None)
@given(
    key=st.sampled_from(["train", "train.lr", "~train", "data@x", "+seed", "env", "x.y", "data.steps.a"]),
    value=st.text(max_size=8),
)
def test_no_override_ends_in_a_traceback(tmp_path_factory: Any, key: str, value: str) -> None:
    folder: Path = tmp_path_factory.getbasetemp()
    project = Project(folder)
    project.write("recipe.yaml", RECIPE)
    for typed in (f"{key}={value}", f"{key}{value}"):
        try:
            project.check(typed, recipe=f"{folder}/recipe.yaml")
        except LlmopsError as error:
            assert str(error)


@pytest.mark.parametrize("typed", ["train.tuning=large", "train/tuning=large", "+train/tuning=large"])
@pytest.mark.parametrize("chosen", ["", "  - train/tuning: small\n"])
def test_a_part_is_chosen_with_dots_or_slashes_whether_or_not_the_recipe_had_chosen_it(
    project: Project, typed: str, chosen: str
) -> None:
    project.write("recipe.yaml", RECIPE.replace("  - evaluate", f"{chosen}  - evaluate"))
    assert project.check(typed).step("train").config.tuning.use == "large"
    assert project.check(typed, "train.tuning.rank=3").step("train").config.tuning.config.rank == 3


def test_naming_a_stage_adds_the_step_that_the_recipe_lacks(project: Project) -> None:
    project.write("recipe.yaml", WITHOUT_DEPLOY)
    assert [step.name for step in project.check().steps][-1] == "release"
    recipe = project.check("deploy=fake", "deploy.replicas=2")
    assert recipe.step("deploy").config.replicas == 2
    assert recipe.step("deploy").inputs == {"release": "release"}


def test_an_implementation_without_a_preset_can_be_chosen(project: Project) -> None:
    project.write("conf/unused.yaml", "")
    assert project.check("train=fake").step("train").implementation.name == "fake"


@pytest.mark.parametrize("typed", ["~train", "train=null", "~train=fake"])
def test_a_step_is_removed_with_all_its_values_and_parts(project: Project, typed: str) -> None:
    chosen = RECIPE.replace("  - evaluate", "  - train/tuning: large\n  - evaluate")
    project.write("recipe.yaml", chosen + "train: {lr: 3, tuning: {rank: 2}, nonsense: 1}\n")
    recipe = project.check(typed)
    assert "train" not in [step.name for step in recipe.steps]
    assert "train" not in recipe.values
    assert recipe.step("evaluate").inputs == {"candidate": "model", "data": "data"}


def test_a_step_whose_choice_does_not_exist_can_still_be_removed(project: Project) -> None:
    project.write("recipe.yaml", RECIPE.replace("train: fake", "train: ???"))
    assert "train" not in [step.name for step in project.check("~train").steps]


def test_removing_and_setting_the_same_step_is_a_contradiction(project: Project) -> None:
    found = project.problems("~train", "train.lr=3", "train=fake")
    assert [one.where for one in found] == ["train.lr=3", "train=fake"]
    assert all("~train removes what this sets" in one.what for one in found)


def test_a_second_step_of_a_stage_is_added_and_wired(project: Project) -> None:
    recipe = project.check("data@docs=fake", "docs.rows=9", "evaluate.inputs.data=docs")
    assert recipe.step("docs").config.rows == 9
    assert recipe.step("docs").stage == "data"
    assert recipe.step("evaluate").inputs["data"] == "docs"
    assert recipe.step("train").inputs["data"] == "data"


def test_the_part_of_a_second_step_is_chosen_by_the_step_s_name(project: Project) -> None:
    recipe = project.check("train@second=fake", "second.tuning=large")
    assert recipe.step("second").config.tuning.use == "large"
    assert recipe.step("train").config.tuning.use == "small"


def test_a_home_folder_needs_no_quotes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project.folder))
    project.write("llama/rows", "")
    assert project.check("data.source=~/llama").step("data").config.source == str(project.folder / "llama")


def test_members_of_a_mapping_are_set_removed_and_added_by_name(project: Project) -> None:
    project.write("recipe.yaml", RECIPE + STEPS)
    steps = project.check("data.steps.share.share=0.9", "~data.steps.length").step("data").config.steps
    assert {name: one.config.share for name, one in steps.items()} == {"share": 0.9}
    steps = project.check("data.steps.third=share", "data.steps.third.share=0.1").step("data").config.steps
    assert [*steps] == ["share", "length", "third"]
    assert steps["third"].config.share == 0.1


def test_a_mapping_is_merged_and_its_members_come_from_the_command_line(project: Project) -> None:
    project.write("recipe.yaml", RECIPE + "train: {lr: 3, warmup_steps: 5}\n")
    recipe = project.check("train={lr: 4}")
    assert (recipe.step("train").config.lr, recipe.step("train").config.warmup_steps) == (4.0, 5)
    assert recipe.origin("train.lr") == "command line"
    assert recipe.origin("train.warmup_steps") == "recipe.yaml:10"


@pytest.mark.parametrize(
    ("typed", "where", "what", "remedy"),
    [
        ("trian.lr=3e-4", "trian", "no such key", "Did you mean train?"),
        ("+train.warmpu=10", "train.warmpu", "no such field of fake", "Did you mean train.warmup_steps?"),
        ("++train.lrr=3", "train.lrr", "no such field of fake", "Did you mean train.lr?"),
        ("model=smollm3", "model=smollm3", "no such preset in model/", "Did you mean smollm2_135m?"),
        ("train.tuning=lagre", "train.tuning=lagre", "no such preset in train/tuning/", "large"),
        ("train/tunning=large", "train/tunning=large", "there is no group train/tunning", "train/tuning"),
        ("dta@docs=fake", "dta@docs=fake", "there is no group dta", "Did you mean data?"),
        ("~nothing", "~nothing", "nothing of that name to remove", ""),
        ("~trian", "~trian", "nothing of that name to remove", "Did you mean ~train?"),
        ("~data.rows", "~data.rows", "nothing of that name to remove", ""),
        ("seed=1,2", "seed=1,2", "several values for one key", "seed=[a,b]"),
        ("seed=range(1,3)", "seed=range(1,3)", "several values for one key", ""),
        ("train", "train", "this is no override", "Write key=value"),
        ("", "", "this is no override", "Write key=value"),
        ("=3", "=3", "this is no override", "Write key=value"),
        ("train=3", "train=3", "no such preset in train/: 3", ""),
        ("train=[a]", "train=[a]", "it cannot be set", ""),
        ("hydra.run.dir=x", "hydra.run.dir=x", "hydra's own settings", "Leave it out."),
        ("train.lr=${", "train.lr=${", "it cannot be set", ""),
        ("train.lr=${nowhere}", "train.lr", "interpolation", ""),
        ("deploy@a.b=fake", "deploy@a.b", "a step's name is made of letters", "deploy@NAME"),
        ("data@seed=fake", "data@seed", "no step can be called seed", "data@NAME"),
        ("data@train=fake", "data@train", "the step train is chosen twice", "NAME"),
        ("env=prd", "env=prd", "no such preset in env/", "Did you mean prod?"),
        ("env=3", "env=3", "no such preset in env/", "env/NAME.yaml"),
        ("format=2", "format", "2 is out of range", "at most 1"),
    ],
)
def test_each_wrong_override_is_told_with_place_and_remedy(
    project: Project, typed: str, where: str, what: str, remedy: str
) -> None:
    found = project.problems(typed)
    [problem] = [one for one in found if one.where == where and what in one.what]
    assert remedy in problem.remedy
    assert problem.origin in ("command line", "recipe.yaml:5")


def test_all_wrong_overrides_are_told_together(project: Project) -> None:
    found = project.problems(
        "trian.lr=3e-4", "+train.warmpu=10", "model=smollm3", "train", "seed=x", "~nothing"
    )
    assert {one.where for one in found} == {
        "trian",
        "train.warmpu",
        "model=smollm3",
        "train",
        "seed",
        "~nothing",
    }


def test_a_wrong_override_that_may_hold_a_secret_is_not_repeated(project: Project) -> None:
    found = project.problems("data.token=hf_planted,x", "data.api_key=hf_planted${")
    assert "hf_planted" not in "".join(str(one) for one in found)
