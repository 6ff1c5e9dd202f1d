"""The JSON Schema of recipes."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from llmops_core.locate import bundled
from llmops_core.plugins import load
from llmops_core.resolved import resolved
from llmops_core.schema import schema
from llmops_core.stages import BY_NAME
from tests.conftest import RECIPE, Project


@pytest.fixture
def validator(project: Project) -> Any:
    """Checks a document against the schema, the fake plugin's implementations included."""
    found = schema(project.plugins())
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def wrong(validator: Any, text: str) -> list[str]:
    return [
        ".".join(str(part) for part in one.absolute_path)
        for one in validator.iter_errors(yaml.safe_load(text))
    ]


def test_every_bundled_recipe_fits_the_schema(validator: Any) -> None:
    for path in bundled("recipes").glob("*.yaml"):
        assert wrong(validator, path.read_text()) == [], path


def test_every_bundled_preset_fits_its_stage(validator: Any) -> None:
    for path in bundled("conf").glob("*/*.yaml"):
        document = yaml.safe_load(path.read_text())
        if document and path.parent.name in BY_NAME:
            assert wrong(validator, yaml.safe_dump({path.parent.name: document})) == [], path


def test_a_recipe_written_out_whole_fits_the_schema(validator: Any, project: Project) -> None:
    for recipe in ("quickstart", "./recipe.yaml"):
        assert list(validator.iter_errors(resolved(project.check(recipe=recipe)))) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("train: {use: fake, lrr: 1}\n", ["train"]),
        ("train: {use: fake, lr: x}\n", ["train.lr"]),
        ("train: {use: fake, lr: -1}\n", ["train.lr"]),
        ("train: {use: lightnin}\n", ["train.use"]),
        ("train: {use: fake, tuning: {use: small, rnk: 3}}\n", ["train.tuning"]),
        ("data: {use: fake, steps: {share: {use: share, share: 2}}}\n", ["data.steps"]),
        ("train: {use: fake, retry: {tims: 1}}\n", ["train.retry"]),
        ("seed: -1\n", ["seed"]),
    ],
)
def test_a_wrong_value_is_found_at_its_place(validator: Any, text: str, where: list[str]) -> None:
    found = wrong(validator, RECIPE + text)
    assert found
    assert all(one.startswith(where[0]) for one in found)


@pytest.mark.parametrize(
    "text",
    [
        "train: {use: fake, lr: '${seed}'}\n",
        "train: {use: fake, lr: '???', tuning: large}\n",
        "train: {use: fake, tuning: {rank: 3}}\n",
        "data: {use: fake, steps: {share: null}}\n",
        "docs: {stage: data, use: fake}\n",
    ],
)
def test_what_a_recipe_may_hold_fits(validator: Any, text: str) -> None:
    assert wrong(validator, RECIPE + text) == []


def test_every_field_carries_its_words_and_unit() -> None:
    found = schema(load())
    lightning = found["$defs"]["train=lightning"]["properties"]
    own = [field for name, field in lightning.items() if name not in ("use", "stage")]
    assert all(field["description"] for field in own)
    assert any("Unit:" in field["description"] for field in own)


def test_every_bundled_file_names_the_schema_that_it_fits() -> None:
    files = [*bundled("recipes").glob("*.yaml"), *bundled("conf").rglob("*.yaml")]
    for path in files:
        named = re.search(r"^# yaml-language-server: \$schema=(\S+)$", path.read_text(), re.MULTILINE)
        assert named, path
        place = (path.parent / named[1]).resolve()
        document = yaml.safe_load(path.read_text())
        if document is not None:
            found = jsonschema.Draft202012Validator(json.loads(place.read_text()))
            assert list(found.iter_errors(document)) == [], path


def test_the_line_for_editors_stands_in_the_midst_of_no_sentence() -> None:
    for path in [*bundled("recipes").glob("*.yaml"), *bundled("conf").rglob("*.yaml")]:
        lines = ["", *path.read_text().splitlines()]
        (at,) = (number for number, line in enumerate(lines) if "yaml-language-server" in line)
        prose = [
            line.startswith("# ") and not line.startswith("# @") for line in (lines[at - 1], lines[at + 1])
        ]
        assert not all(prose), path
