"""Reads what an older release wrote; refuses what a newer one did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmops_core.config import FORMAT
from llmops_core.errors import StoreError

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


def migrated_recipe(document: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's document in the current format. Raises StoreError."""
    return migrate(document, FORMAT, RECIPE_MIGRATIONS, "this recipe")
