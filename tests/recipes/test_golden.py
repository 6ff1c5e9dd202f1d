"""Each bundled recipe resolves to what is kept beside this file; a change of a default shows in the diff.

After a change that is meant: python -m tests.recipes.test_golden
"""

from __future__ import annotations

from pathlib import Path

import pytest

from llmops_core.check import check
from llmops_core.locate import bundled
from llmops_core.plugins import load
from llmops_core.resolved import as_yaml

HERE = Path(__file__).parent
RECIPES = sorted(path.stem for path in bundled("recipes").glob("*.yaml"))


def resolved(recipe: str) -> str:
    """The recipe with every default, as YAML."""
    return as_yaml(check(recipe, (), load(), modules=False))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_bundled_recipe_resolves_to_its_golden_config(recipe: str) -> None:
    assert resolved(recipe) == (HERE / f"{recipe}.golden.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_bundled_recipe_starts_with_the_command_that_runs_it(recipe: str) -> None:
    first = (bundled("recipes") / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# llmops run {recipe}")


if __name__ == "__main__":
    for name in RECIPES:
        (HERE / f"{name}.golden.yaml").write_text(resolved(name), encoding="utf-8")
