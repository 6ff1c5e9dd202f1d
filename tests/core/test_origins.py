"""Where each value came from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmops_core.locate import bundled
from llmops_core.nodes import header_package, leaves, read_nodes, shown
from llmops_core.origins import Origins, trace
from tests.conftest import RECIPE, Project


def test_every_value_knows_the_file_and_line_that_wrote_it_last(project: Project) -> None:
    project.write("train/mine.yaml", "# a preset\nuse: fake\nlr: 1\nwarmup_steps: 2\n")
    project.write("recipe.yaml", RECIPE.replace("train: fake", "train: mine") + "train:\n  lr: 3\n")
    recipe = project.check("model.size=4", "deploy=fake")
    assert recipe.origin("train.lr") == "recipe.yaml:11"
    assert recipe.origin("train.warmup_steps") == "train/mine.yaml:4"
    assert recipe.origin("model.size") == "command line"
    assert recipe.origin("deploy.replicas") == "command line"
    base = (bundled("conf") / "base.yaml").read_text(encoding="utf-8").splitlines()
    (line,) = [number for number, text in enumerate(base, start=1) if text.startswith("seed:")]
    assert recipe.origin("seed").endswith(f"conf/base.yaml:{line}")
    assert recipe.origin("store") == ""


def test_a_member_nowhere_written_has_the_origin_of_its_nearest_parent() -> None:
    origins = Origins()
    origins.add("a.b", "x.yaml:3", Path("/far/x.yaml"))
    assert origins.of("a.b.c.d") == "x.yaml:3"
    assert origins.of("a") == ""
    assert origins.folder("a.b.c") == Path("/far")
    assert origins.folder("other") == Path.cwd()


def test_typing_a_value_forgets_where_its_members_came_from_and_merging_does_not() -> None:
    origins = Origins()
    origins.add("a", "x.yaml:1", Path("/x.yaml"))
    origins.add("a.b", "x.yaml:2", Path("/x.yaml"))
    origins.typed("a", {"c": 1})
    assert (origins.of("a.b"), origins.of("a.c")) == ("x.yaml:2", "command line")
    origins.typed("a", 3)
    assert origins.of("a.b") == "command line"
    assert origins.folder("a.b") == Path.cwd()


def test_a_place_is_shown_relative_only_below_the_current_folder(project: Project) -> None:
    assert shown(project.folder / "a/b.yaml") == os.path.join("a", "b.yaml")  # noqa: PTH118
    assert shown(project.folder.parent / "b.yaml") == str(project.folder.parent / "b.yaml")


def test_a_preset_s_values_are_traced_below_its_package(project: Project) -> None:
    path = project.write("p.yaml", "a: {b: 1}\n")
    assert trace([(path, "train")]).places == {
        "train": "p.yaml",
        "train.a": "p.yaml:1",
        "train.a.b": "p.yaml:1",
    }


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("# @package _global_\na: 1\n", ""),
        ("# words\n#@package x.y\n", "x.y"),
        ("a: 1\n# @package x\n", None),
        ("", None),
    ],
)
def test_the_package_header_is_read_from_the_first_comments(
    project: Project, text: str, package: str | None
) -> None:
    assert header_package(project.write("p.yaml", text)) == package


def test_leaves_name_parents_before_members(project: Project) -> None:
    node, problems = read_nodes(project.write("p.yaml", "a:\n  b: 1\nc: [1]\n"))
    assert problems == []
    assert list(leaves(node)) == [("a", 1), ("a.b", 2), ("c", 3)]
