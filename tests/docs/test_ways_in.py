"""Each way in that docs/tutorial/ways-in.md shows, installed as it stands there and used."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from llmops_core.artifacts import Dataset, Scores
from llmops_core.cli import cli
from llmops_core.entry_points import COMMANDS, entry_points
from llmops_core.plugins import load, resolve
from llmops_core.testing.examination import examining
from llmops_core.testing.verdicts import passed, table, verdicts
from tests.conftest import Project
from tests.docs.pages import blocks, write_files

PAGE = "tutorial/ways-in.md"
PACKAGES = ("acme", "acme_politeness", "acme_shouting", "acme_journal", "acme_launch", "acme_rack")


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with what the page shows, installed."""
    folder = tmp_path_factory.mktemp("site")
    written = {path.relative_to(folder).as_posix(): path for path in write_files(PAGE, folder)}
    declared = tomllib.loads(written["pyproject.toml"].read_text())["project"]["entry-points"]
    for package in PACKAGES:
        (folder / package / "__init__.py").write_text('"""It."""\n')
        points = declared if package == "acme" else {"llmops": {package: f"{package}.plugin"}}
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir()
        lines = [
            f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in found.items())
            for group, found in points.items()
        ]
        (info / "entry_points.txt").write_text("".join(lines))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]


def test_every_way_in_is_about_ten_lines() -> None:
    for block in blocks(PAGE):
        lines = [
            line for line in block.text.splitlines() if line.strip() and not line.startswith(('"""', "#"))
        ]
        assert len(lines) <= 11, block.says


def test_a_preset_and_a_recipe_of_a_plugin_are_chosen_by_name(site: Path, project: Project) -> None:
    assert project.check("train=gentle", recipe="quickstart").step("train").config.weight_decay == 0.1
    recipe = project.check(recipe="gentle_quickstart")
    assert recipe.step("train").config.weight_decay == 0.1
    assert recipe.step("train").config.max_rows == 240


def test_a_command_is_listed_without_its_import_and_runs(site: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    assert "acme-rows" in {point.name for point in entry_points(COMMANDS)}
    listed = CliRunner().invoke(cli, ["--help"])
    assert "acme-rows" in listed.output
    assert "acme.commands" not in sys.modules
    assert CliRunner().invoke(cli, ["acme-rows", str(tmp_path / "rows.jsonl")]).output == "2\n"


def test_a_metric_scores_answers_beside_the_first_party_ones(site: Path, project: Project) -> None:
    recipe = project.check("+evaluate.metrics.polite.word=thanks", recipe="quickstart")
    step = recipe.step("evaluate")
    assert "polite" in recipe.gives(step)
    part = step.config.metrics["polite"]
    [score] = resolve("acme_politeness.polite:polite")(part.config, None, generations=["Thanks!", "No."])
    assert (score.name, score.rows) == ("polite", [1.0, 0.0])


def test_a_data_step_joins_the_pipeline(site: Path, project: Project) -> None:
    rows = [("Why?", "BECAUSE!"), ("Why not?", "It rains."), ("When?", "At noon."), ("Who?", "Nobody.")]
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in rows]
    project.write("rows.jsonl", "".join(json.dumps({"messages": one}) + "\n" for one in turns))
    project.write("recipe.yaml", "defaults:\n  - base\n  - data: local\n  - _self_\n")
    manifest = project.run("data.source=rows.jsonl", "+data.steps.no_shouting={}")
    made = manifest.artifact(manifest.document["steps"][0]["output"])
    assert isinstance(made, Dataset)
    assert [entry["rows"] for entry in made.funnel if entry["step"] in ("read", "no_shouting")] == [4, 3]


def test_a_tracker_hears_how_each_step_ended(site: Path, project: Project) -> None:
    manifest = project.run()
    journal = (manifest.folder / "journal.txt").read_text().splitlines()
    assert [line.partition(":")[0] for line in journal] == [
        step["name"] for step in manifest.document["steps"]
    ]
    made = manifest.artifact(manifest.document["steps"][3]["output"])
    assert isinstance(made, Scores)


def test_a_launcher_runs_a_step_in_a_process_that_it_starts(site: Path, project: Project) -> None:
    project.write("rows.jsonl", '{"question": "Is it on?", "answer": "It is on."}\n' * 3)
    project.write("recipe.yaml", "defaults:\n  - base\n  - data: local\n  - _self_\n")
    manifest = project.run("data.source=rows.jsonl", "data.launch=polite_process")
    assert manifest.step("data")["status"] == "done"
    assert (manifest.folder / "steps" / "data.answer.json").is_file()


def test_an_infrastructure_target_gives_the_machines_of_a_deployment(site: Path, project: Project) -> None:
    manifest = project.run("infra=rack", "infra.host=10.0.0.2")
    assert manifest.step("infra")["result"] == "1 machine: 64 cores, 512.0 GB, no GPU"
    assert manifest.step("deploy")["inputs"]["infra"] == manifest.step("infra")["output"]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_way_in_passes_the_kit(site: Path, package: str) -> None:
    assert load().problems == []
    with examining(package, runs=package != "acme_politeness") as exam:
        found = verdicts(exam)
        assert passed(found), table(exam, found)
