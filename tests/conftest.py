"""What every test may use: a folder of its own with a recipe, the fake plugin, and a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
from llmops_core.worker import CoreSteps
from tests import fake_plugin

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
        return plugin_module.load([("core", CoreSteps()), ("fake", fake_plugin), *self.extra])

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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty folder, made the current one, with a recipe of fake steps in recipe.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMOPS_STORE", raising=False)
    found = Project(tmp_path)
    found.write("recipe.yaml", RECIPE)
    return found
