"""What may be chosen, as rows."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from llmops_core import options
from llmops_core.errors import UsageError
from llmops_core.plugins import load
from llmops_core.stages import BY_NAME
from tests.conftest import Project
from tests.core.test_typed import Everything


def rows(found: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    return {row[name]: row for row in found}


def test_every_stage_and_part_is_a_group_with_its_names(project: Project) -> None:
    found = rows(options.groups(project.plugins()), "group")
    assert set(BY_NAME) | {"train/tuning", "data/step", "env"} <= set(found)
    assert "fake" in found["train"]["options"]
    assert found["train"]["about"]


def test_presets_and_implementations_are_told_apart(project: Project) -> None:
    found = rows(options.members(project.plugins(), "model"), "name")
    assert found["smollm2_135m"]["kind"] == "preset"
    assert found["smollm2_135m"]["file"].endswith("conf/model/smollm2_135m.yaml")
    assert found["fake"]["kind"] == "implementation"


def test_a_preset_says_what_it_is_for_or_what_its_implementation_does(project: Project) -> None:
    found = rows(options.members(project.plugins(), "data"), "name")
    assert found["local"]["about"].startswith("Your own rows: ")
    environments = rows(options.members(project.plugins(), "env"), "name")
    assert environments["prod"]["about"] == "The environment prod: its own live deployment and history."
    models = rows(options.members(project.plugins(), "model"), "name")
    assert models["local"]["about"] == models["open_weights"]["about"] != ""


def test_the_fields_of_a_preset_are_those_of_its_implementation(project: Project) -> None:
    plugins = project.plugins()
    assert options.fields(plugins, "model", "smollm2_135m") == options.fields(
        plugins, "model", "open_weights"
    )
    fields = rows(options.fields(plugins, "train", "fake"), "field")
    assert fields["lr"] == {
        "field": "lr",
        "type": "number",
        "default": "0.1",
        "doc": "Learning rate. [above 0]",
    }
    assert fields["tuning"]["type"] == "choice of train/tuning"
    assert "does not affect the output" in fields["pause"]["doc"]


def test_every_kind_of_field_has_a_type_in_plain_words() -> None:
    hints = typing.get_type_hints(Everything)
    found = {field.name: options.row(field, hints[field.name]) for field in dataclasses.fields(Everything)}
    assert {name: row["type"] for name, row in found.items()} == {
        "flag": "true or false",
        "count": "whole number",
        "rate": "number",
        "name": "text",
        "kind": "small or large",
        "maybe": "whole number or null",
        "names": "list of text",
        "inner": "{share}",
        "table": "names to {share}",
        "piece": "choice of group",
        "pieces": "choices of group",
    }
    assert found["maybe"]["default"] == "null"
    assert found["piece"]["default"] == "tiny"
    assert "rows, at least 0, below 100" in found["count"]["doc"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda plugins: options.members(plugins, "trian"), "Did you mean train?"),
        (lambda plugins: options.fields(plugins, "trian", "fake"), "Did you mean train?"),
        (lambda plugins: options.fields(plugins, "train", "lightnin"), "Did you mean lightning?"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_nearest(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        call(load())


def test_every_field_of_every_implementation_can_be_shown() -> None:
    plugins = load()
    for group, name in plugins.implementations:
        for row in options.fields(plugins, group, name):
            assert row["doc"]
            assert "<class" not in str(row)


def test_recipes_are_listed_with_what_they_are_for(project: Project) -> None:
    found = rows(options.recipes(load()), "recipe")
    assert found["quickstart"]["about"].startswith("Fine-tune")


def test_what_is_installed_says_whether_it_can_run_here(project: Project) -> None:
    found = rows(options.installed(project.plugins()), "choice")
    assert found["train=fake"]["state"] == "ready"
    assert found["train=lightning"]["by"].startswith("llmops ")
