"""Keys cover all that can change a step's output, and nothing else."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmops_core.check import chosen
from llmops_core.config import Recipe
from llmops_core.keys import KeyMaker, code_digest, content, differences, digest
from llmops_core.settings import setting
from tests.conftest import RECIPE, Project
from tests.fake_plugin import FakeData, FakeTrain

half = st.sampled_from([0.5, 1.0])
steps = st.dictionaries(
    st.sampled_from("abc"), st.fixed_dictionaries({"use": st.just("share"), "share": half})
)
sizes = st.sampled_from(["small", "large"])
tuning = st.fixed_dictionaries({"use": sizes, "rank": st.integers(1, 9)})
data = {"rows": st.integers(0, 9), "added": st.sampled_from(["", "x"]), "steps": steps}
train = {"lr": st.sampled_from([0.1, 0.5, 1]), "warmup_steps": st.integers(0, 3), "tuning": tuning}
neutral = {"pause": half, "retry": st.fixed_dictionaries({"times": st.integers(0, 3)})}
fields = {
    "data": st.fixed_dictionaries({}, optional={**data, "workers": st.integers(1, 9), "pause": half}),
    "train": st.fixed_dictionaries({}, optional={**train, **neutral, "time_limit": half}),
    "deploy": st.fixed_dictionaries({}, optional={"replicas": st.integers(1, 3)}),
}
recipes = st.fixed_dictionaries(
    {}, optional={**fields, "seed": st.integers(0, 3), "store": st.text("ab", min_size=1)}
)
UNCOUNTED = """data.workers=8 data.pause=0.25 deploy.replicas=7 store=elsewhere about=other
train.retry.times=9
train.time_limit=99 train.pause=0.25 env=prod"""
COUNTED = [
    ("data.rows=77", "data"),
    ("data.added=y", "data"),
    ("data.steps.c.use=share data.steps.c.share=0.125", "data"),
    ("train.lr=7", "train"),
    ("train.warmup_steps=7", "train"),
    ("train.tuning.rank=77", "train"),
    ("model.size=77", "model"),
    ("evaluate.inputs.candidate=model", "evaluate"),
    ("seed=77", "train"),
]
settled = settings(max_examples=9, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def keys(project: Project, document: Mapping[str, Any], *overrides: str) -> dict[str, str]:
    """Each step's key, with inputs standing for themselves."""
    project.write(
        "recipe.yaml", RECIPE + (yaml.safe_dump(dict(document), sort_keys=False) if document else "")
    )
    return keys_of(project.check(*overrides), project)


def keys_of(recipe: Recipe, project: Project) -> dict[str, str]:
    plugins, maker = project.plugins(), KeyMaker(lambda path: f"content of {Path(path).read_text()}")
    return {
        step.name: digest(
            maker.document(step, dict(chosen(step, plugins)), recipe.settings.seed, step.inputs)
        )
        for step in recipe.steps
    }


def shuffled(node: Any, random: Any, path: str = "") -> Any:
    """The same fields in another order; what runs in its order keeps it."""
    if not isinstance(node, dict) or path.endswith("steps"):
        return node
    names = list(node)
    random.shuffle(names)
    return {name: shuffled(node[name], random, f"{path}.{name}") for name in names}


@settled
@given(recipes, st.randoms())
def test_keys_do_not_depend_on_the_order_of_fields(project: Project, document: Any, random: Any) -> None:
    assert keys(project, document) == keys(project, shuffled(document, random))


@settled
@given(recipes)
def test_keys_do_not_depend_on_whether_a_default_is_written_out(project: Project, document: Any) -> None:
    written = {"data": {"rows": 4}, "train": {"lr": 0.1, "tuning": {"use": "small", "rank": 8}}, "seed": 7}
    whole = {
        **document,
        **{n: v if n == "seed" else {**v, **document.get(n, {})} for n, v in written.items()},
    }
    assert keys(project, {"seed": 7, **document}) == keys(project, {**whole, "seed": document.get("seed", 7)})


@settled
@given(recipes, st.sampled_from(UNCOUNTED.split()))
def test_fields_that_cannot_change_the_output_change_no_key(
    project: Project, document: Any, typed: str
) -> None:
    assert keys(project, document) == keys(project, document, typed)


@settled
@given(recipes, st.sampled_from(COUNTED))
def test_any_field_that_counts_changes_the_key_of_its_step_alone(
    project: Project, document: Any, change: tuple[str, str]
) -> None:
    typed, step = change
    before, after = keys(project, document), keys(project, document, *typed.split())
    changed = {name for name in before if before[name] != after[name]}
    assert step in changed
    if not typed.startswith("seed"):
        assert changed == {step}


def test_the_seed_counts_only_where_it_is_used(project: Project) -> None:
    before, after = keys(project, {}), keys(project, {}, "seed=8")
    assert {name for name in before if before[name] != after[name]} == {"data", "train", "evaluate"}


def test_a_field_added_later_stays_out_of_the_key_at_its_neutral_value() -> None:
    assert "added" not in content(FakeData(), str)
    assert content(FakeData(added="x"), str)["added"] == "x"


def test_the_order_of_a_mapping_of_names_counts(project: Project) -> None:
    one = {"data": {"steps": {"a": {"use": "share"}, "b": {"use": "share", "share": 0.5}}}}
    other = {"data": {"steps": {"b": {"use": "share", "share": 0.5}, "a": {"use": "share"}}}}
    assert keys(project, one)["data"] != keys(project, other)["data"]


def test_a_file_counts_by_its_content_and_not_by_its_place(project: Project) -> None:
    project.write("a", "same")
    project.write("b/c", "same")
    project.write("d", "other")
    found = [keys(project, {"data": {"source": name}})["data"] for name in ("a", "b/c", "d")]
    assert found[0] == found[1] != found[2]


def test_the_version_and_the_code_of_every_part_count(project: Project) -> None:
    recipe, plugins = project.check(), project.plugins()
    step, maker = recipe.step("train"), KeyMaker(str)
    parts = dict(chosen(step, plugins))
    before = maker.document(step, parts, 7, {})
    newer = {**parts, "train.tuning": dataclasses.replace(parts["train.tuning"], version="2")}
    after = maker.document(step, newer, 7, {})
    assert digest(before) != digest(after)
    assert differences(before, after, "train") == ["version of small: 1 -> 2"]
    maker.codes |= dict.fromkeys(maker.codes, "changed")
    assert differences(before, maker.document(step, parts, 7, {}), "train") == [
        "code of fake changed",
        "code of small changed",
    ]


@pytest.mark.parametrize("init", ["__init__.py", "part.py"])
def test_the_code_digest_covers_every_source_of_the_package_also_without_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, init: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"acme_{init[0]}_{init.partition('.')[0].strip('_')}"
    (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / name / init).write_text("x = 1\n")
    (tmp_path / name / "deep/more.py").write_text("x = 1\n")
    first = code_digest(f"{name}.deep.more:x")
    assert first
    (tmp_path / name / "notes.txt").write_text("no source")
    assert code_digest(f"{name}.deep.more:x") == first
    (tmp_path / name / "deep/more.py").write_text("x = 2\n")
    assert code_digest(f"{name}.deep.more:x") != first
    assert name not in sys.modules


def document(config: Any, **others: Any) -> dict[str, Any]:
    return {"config": content(config, str), "seed": 7, "inputs": {"data": "a"}, "made_by": {}, **others}


def test_differences_are_told_as_a_person_would(project: Project) -> None:
    old = FakeTrain(lr=2e-4)
    assert differences(document(old), document(FakeTrain(lr=3e-4)), "train") == ["train.lr: 0.0002 -> 0.0003"]
    assert differences(document(old), document(old, seed=8), "train") == ["seed: 7 -> 8"]
    assert differences(document(old), document(old, inputs={"data": "b"}), "train") == ["input data changed"]
    fake, other = (
        {"": {"use": "a", "version": "1", "code": "x"}},
        {"": {"use": "b", "version": "1", "code": "y"}},
    )
    assert differences(document(old, made_by=fake), document(old, made_by=other), "train") == [
        "train: a -> b"
    ]


def test_a_change_of_order_alone_is_told_as_that() -> None:
    old = {**document(FakeTrain()), "config": {"steps": [["a", {"share": 1}], ["b", {"share": 2}]]}}
    new = {**document(FakeTrain()), "config": {"steps": [["b", {"share": 2}], ["a", {"share": 1}]]}}
    assert differences(old, new, "data") == ["the order of data.steps changed"]


@given(st.dictionaries(st.text("abc"), st.integers()), st.randoms())
def test_the_digest_of_a_document_does_not_depend_on_its_order(values: dict[str, int], random: Any) -> None:
    names = list(values)
    random.shuffle(names)
    assert digest(values) == digest({name: values[name] for name in names})


@dataclass(frozen=True)
class Several:
    """Files by the list."""

    files: Sequence[str] = setting(factory=tuple, doc="Files.", path=True)
    sources: Sequence[str] = setting(factory=tuple, doc="Addresses.", address=True)


def test_every_path_of_a_list_counts_by_its_content() -> None:
    config = Several(("/a", "/b"), ("file:/c", "pypi://d@1"))
    assert content(config, lambda path: f"content of {path}") == {
        "files": [{"content": "content of /a"}, {"content": "content of /b"}],
        "sources": [{"content": "content of /c"}, "pypi://d@1"],
    }
