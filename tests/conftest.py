"""What every test may use: a folder of its own with a recipe, the fake plugin, and a store."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llmops_core import plugins as plugin_module
from llmops_core.check import check
from llmops_core.config import Recipe
from llmops_core.errors import Problem, RecipeError
from llmops_core.manifest import Manifest, all_runs
from llmops_core.plan import Plan, Planner
from llmops_core.plugins import Plugins
from llmops_core.runner import Runner, RunOptions
from llmops_core.store import Store

# A shell ignores Ctrl-C for what it starts in the background, nohup ignores hang-ups, and children inherit
# both; the tests that interrupt a command need them heard.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

RECIPE = """\
defaults:
  - base
  - data: fake
  - model: fake
  - train: fake
  - evaluate: fake
  - release: fake
  - deploy: fake
  - _self_
"""


@dataclass
class Project:
    """A person's folder with a recipe in it."""

    folder: Path
    extra: Sequence[tuple[str, Any]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(self.folder / ".llmops")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def plugins(self) -> Plugins:
        return plugin_module.load([("fake", fake_plugin), *self.extra])

    def check(self, *overrides: str, recipe: str = "./recipe.yaml") -> Recipe:
        return check(recipe, overrides, self.plugins())

    def problems(self, *overrides: str, recipe: str = "./recipe.yaml") -> list[Problem]:
        """Every problem of the recipe; fails the test when there is none."""
        with pytest.raises(RecipeError) as caught:
            self.check(*overrides, recipe=recipe)
        return list(caught.value.problems)

    def plan(self, *overrides: str) -> Plan:
        history = [one.document for one in all_runs(self.store)]
        return Planner(self.check(*overrides), self.plugins(), self.store, history).plan()

    def run(self, *overrides: str, options: RunOptions | None = None) -> Manifest:
        runner = Runner(self.check(*overrides), self.plugins(), self.store, options or RunOptions())
        return runner.run()


REPOSITORY = Path(__file__).parent.parent
FAKE = Path(__file__).with_name("fake_plugin.py")


def _module(path: Path) -> ModuleType:
    """A file as a module of its own: its code, which keys cover, is that file and not all tests."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


fake_plugin = _module(FAKE)


@dataclass
class CommandLine:
    """The command `llmops` in processes of its own, with the fake plugin installed."""

    folder: Path
    site: Path

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start `llmops WORDS...` in the folder."""
        path = os.pathsep.join([str(self.site), str(REPOSITORY), str(REPOSITORY / "plugins")])
        return subprocess.Popen(
            [sys.executable, "-c", "from llmops_core.cli import main; main()", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `llmops WORDS...` to its end."""
        with self.start(*words, **environment) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.fixture
def llmops(project: Project, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line in the project's folder."""
    site = tmp_path_factory.mktemp("site")
    (site / "fake-1.0.dist-info").mkdir()
    (site / "fake-1.0.dist-info" / "entry_points.txt").write_text("[llmops]\nfake = fake_plugin\n")
    (site / FAKE.name).symlink_to(FAKE)
    return CommandLine(project.folder, site)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty folder, made the current one, with a recipe of fake steps in recipe.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMOPS_STORE", raising=False)
    found = Project(tmp_path)
    found.write("recipe.yaml", RECIPE)
    return found
