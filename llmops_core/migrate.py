"""Reads what an older release wrote; refuses what a newer one did."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from llmops_core.config import FORMAT
from llmops_core.errors import LlmopsError, RecipeError, StoreError
from llmops_core.origins import Loader, shown

Migration = Callable[[dict[str, Any]], dict[str, Any]]
RECIPE_MIGRATIONS: dict[int, Migration] = {}
"""Format version -> what turns a recipe of that version into one of the next."""


def migrate(
    document: Mapping[str, Any], current: int, migrations: Mapping[int, Migration], what: str
) -> dict[str, Any]:
    """A document of any known format as one of the `current` format. Raises StoreError."""
    found = document.get("format", 1)
    newer = f"{what} has format {found}; this release of llmops reads up to {current}"
    if not isinstance(found, int) or isinstance(found, bool):
        raise StoreError(f"{what} has no format version that can be read: {found!r}")
    if found > current:
        raise StoreError(newer, remedy="Upgrade llmops: pip install --upgrade llmops")
    changed = dict(document)
    for version in range(found, current):
        if version not in migrations:
            raise StoreError(f"{what} has format {found}, which no release reads any more")
        changed = {**migrations[version](changed), "format": version + 1}
    return changed


@contextmanager
def migrated_recipe(path: Path) -> Iterator[Path]:
    """The recipe's file, or for the time of the block a copy of it in the current format."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader) or {}  # noqa: S506 - the safe one
    if document.get("format", FORMAT) == FORMAT:
        yield path
        return
    try:
        changed = migrate(document, FORMAT, RECIPE_MIGRATIONS, "this recipe")
    except LlmopsError as error:
        from llmops_core.errors import Problem

        problem = Problem("format", error.problem.what, error.problem.remedy, shown(path))
        raise RecipeError(path.stem, [problem]) from None
    with tempfile.TemporaryDirectory(prefix="llmops-") as folder:
        copy = Path(folder) / path.name
        copy.write_text(yaml.safe_dump(changed, sort_keys=False), encoding="utf-8")
        yield copy
