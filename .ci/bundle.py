"""Puts conf/ and recipes/ into a wheel, and only there: an editable install reads the repository's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Bundle(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add both folders under llmops_core/_bundled unless the install is editable."""
        if version == "editable":
            return
        for name in ("conf", "recipes"):
            build_data["force_include"][str(Path(self.root, name))] = f"llmops_core/_bundled/{name}"
