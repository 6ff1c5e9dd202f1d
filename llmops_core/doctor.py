"""What is installed, what is missing for which recipe, and the one command that fixes it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core import wording
from llmops_core.check import check, in_use
from llmops_core.config import Recipe
from llmops_core.errors import LlmopsError
from llmops_core.listing import columns
from llmops_core.manifest import machine
from llmops_core.plugins import Plugins, missing
from llmops_core.worker import offline


@dataclass(frozen=True)
class Diagnosis:
    """What `llmops doctor` found."""

    machine: dict[str, str]
    plugins: list[str]
    problems: list[str]
    recipes: dict[str, str]
    """Recipe -> "ready", or what is wrong."""
    fix: str

    @property
    def healthy(self) -> bool:
        """Whether every recipe can run here."""
        return not self.problems and all(state == "ready" for state in self.recipes.values())

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "healthy": self.healthy}

    def __str__(self) -> str:
        parts = [columns(list(self.machine.items()), ""), "", "recipes", columns(list(self.recipes.items()))]
        parts += [f"problem: {text}" for text in self.problems]
        parts += ["", f"fix it with: {self.fix}" if self.fix else "nothing to fix"]
        return "\n".join(parts)


def diagnose(plugins: Plugins) -> Diagnosis:
    """Look at the machine, the plugins and every recipe that has a name."""
    absent: dict[str, str] = {}
    recipes = {name: _state(name, plugins, absent) for name in plugins.library.recipe_names()}
    about = machine()
    facts = {
        "python": about["python"],
        "machine": f"{about['processor']}, {about['cores']} cores, {wording.size(about['memory'])} of memory",
        "disk": f"{wording.size(shutil.disk_usage(Path.cwd()).free)} free here",
        "network": "forbidden by LLMOPS_OFFLINE" if offline() else "allowed",
        "plugins": ", ".join(dict.fromkeys(str(point) for point, _ in plugins.loaded if point.version)),
    }
    loaded = [str(point) for point, _ in plugins.loaded]
    return Diagnosis(
        facts, loaded, [str(problem) for problem in plugins.problems], recipes, install_command(absent)
    )


def lacking(recipe: Recipe, plugins: Plugins) -> dict[str, str]:
    """Each module that a recipe's steps need and that is not installed, with what brings it."""
    found: dict[str, str] = {}
    for _, implementation in in_use(recipe.steps, recipe.settings, plugins):
        for module in missing(implementation):
            found.setdefault(module, implementation.extra or module)
    return found


def install_command(absent: Mapping[str, str]) -> str:
    """The one command that brings every missing module; "" when none is missing."""
    extras = set(absent.values())
    ours = sorted(extra[len("llmops[") : -1] for extra in extras if extra.startswith("llmops["))
    others = sorted(extra for extra in extras if not extra.startswith("llmops["))
    wanted = [*others, *([f"llmops[{','.join(ours)}]"] if ours else [])]
    return f"pip install {' '.join(repr(one) for one in wanted)}" if wanted else ""


def _state(name: str, plugins: Plugins, absent: dict[str, str]) -> str:
    try:
        found = lacking(check(name, (), plugins, modules=False), plugins)
    except LlmopsError as error:
        return str(error).splitlines()[0]
    absent |= found
    return f"needs {', '.join(found)}" if found else "ready"
