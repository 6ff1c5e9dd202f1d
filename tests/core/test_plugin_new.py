"""What `llmops plugin new` writes is installed, passes its tests as written, is listed, and is selected."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmops_core.errors import UsageError
from llmops_core.plugin_new import write_plugin
from llmops_core.plugins import load
from llmops_core.stages import STAGES
from tests.installing import Environment

STAGE_NAMES = [stage.name for stage in STAGES]
PARTS = ["data/step", "evaluate/metric", "train/tuning", "train/strategy", "train/objective"]
QUICK = [*STAGE_NAMES, "data/step"]
"""Groups whose plugin is tried without torch."""


def named(group: str) -> str:
    return f"written-{group.replace('/', '-')}"


@dataclass(frozen=True)
class Written:
    """A plugin of each group, written into `folder` and installed."""

    environment: Environment
    folder: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    made = Written(
        Environment.make(tmp_path_factory.mktemp("environment")), tmp_path_factory.mktemp("written")
    )
    words = ["llmops", "plugin", "new", named("data"), "--stage", "data", "--into", "."]
    assert f"wrote {named('data')}" in made.environment.run(*words, cwd=made.folder)
    for group in (*(name for name in STAGE_NAMES if name != "data"), *PARTS):
        write_plugin(named(group), group, made.folder, load())
    places = [word for group in (*STAGE_NAMES, *PARTS) for word in ("-e", made.folder / named(group))]
    made.environment.run("pip", "install", "--no-build-isolation", *places, cwd=made.folder)
    return made


@pytest.mark.parametrize("group", QUICK)
def test_what_is_written_passes_its_tests_as_written(written: Written, group: str) -> None:
    told = written.environment.run("pytest", "-q", cwd=written.folder / named(group))
    assert "failed" not in told
    assert " passed" in told


@pytest.mark.parametrize("group", PARTS)
def test_what_is_written_for_a_part_keeps_the_contract(written: Written, group: str) -> None:
    told = written.environment.run("llmops", "plugin", "check", named(group), "--no-runs", cwd=written.folder)
    assert "contract 7/7 · config 5/5 · keys 1/1 · secrets 1/1 · import " in told


def test_what_is_written_is_listed_and_has_all_its_files(written: Written) -> None:
    listed = written.environment.run("llmops", "plugins", cwd=written.folder)
    for group in (*STAGE_NAMES, *PARTS):
        package, work = named(group).replace("-", "_"), group.rpartition("/")[2]
        assert f"{group}={package} " in listed
        files = [f"{package}/{name}.py" for name in ("__init__", "plugin", "config", work, "examples")]
        files += [f"{package}/conf/{group}/{package}.yaml", "tests/test_plugin.py", "README.md"]
        assert [name for name in files if not (written.folder / named(group) / name).is_file()] == []


def test_a_recipe_selects_what_was_written(written: Written) -> None:
    recipe = "defaults:\n  - base\n  - data: local\n  - model: local\n  - train: written_train\n  - _self_\n"
    (written.folder / "mine.yaml").write_text(recipe, encoding="utf-8")
    (written.folder / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    (written.folder / "config.json").write_text("{}", encoding="utf-8")
    places = ("data.source=rows.jsonl", "model.path=.", "train.epochs=2")
    chosen = ("./mine.yaml", *places, "+data.steps.written_data_step.min_words=3")
    shown = written.environment.run("llmops", "show", "config", *chosen, cwd=written.folder)
    assert "use: written_train" in shown
    assert "use: written_data_step" in shown


def test_what_is_written_has_no_fault_that_the_linter_knows(tmp_path: Path) -> None:
    plugins = load()
    for group in (*STAGE_NAMES, *PARTS):
        write_plugin(f"x-{group.replace('/', '-')}", group, tmp_path, plugins)
    words = ["check", "--select", "E,F,W,B,UP", "--ignore", "E501", "--isolated", tmp_path]
    command = [sys.executable, "-m", "ruff", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "group", "what"),
    [
        ("Acme", "train", "Acme cannot be a plugin's name"),
        ("json", "train", "there is a Python package json already"),
        ("llmops-core", "train", "there is a Python package llmops_core already"),
        ("acme", "trian", "there is no stage trian: Did you mean train?"),
        ("acme", "train/tunning", "nothing chooses from train/tunning: Did you mean train/tuning?"),
    ],
)
def test_what_cannot_be_written_says_why(tmp_path: Path, name: str, group: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_plugin(name, group, tmp_path, load())
    problem = caught.value.problem
    assert what in f"{problem.what}: {problem.remedy}"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        write_plugin("acme", "train", tmp_path, load())
    assert list((tmp_path / "acme").iterdir()) == []
