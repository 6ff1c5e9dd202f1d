"""Where each value of a recipe came from: file and line, read from the YAML's own marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core.nodes import leaves, read_nodes, shown

COMMAND_LINE = "command line"


@dataclass
class Origins:
    """For every dotted path that was written somewhere, the last place that wrote it."""

    places: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path | None] = field(default_factory=dict)
    """For every such path, the file that wrote it; None for the command line."""

    def of(self, path: str) -> str:
        """Where `path`, or else its nearest parent, was written; "" when nowhere (a default)."""
        return self._nearest(self.places, path) or ""

    def folder(self, path: str) -> Path:
        """The folder that a relative file path written at `path` starts from."""
        file = self._nearest(self.files, path)
        return file.parent if file is not None else Path.cwd()

    def below(self, path: str) -> set[Path | None]:
        """The files that wrote `path` and its members."""
        return {file for known, file in self.files.items() if f"{known}.".startswith(f"{path}.")}

    def add(self, path: str, place: str, file: Path | None) -> None:
        """Note that `path` was written at `place`."""
        self.places[path] = place
        self.files[path] = file

    def typed(self, path: str, value: Any) -> None:
        """Note that `path` was set on the command line. A mapping is merged: its members are noted."""
        if isinstance(value, Mapping):
            for name, inner in value.items():
                self.typed(f"{path}.{name}", inner)
        else:
            for known in [known for known in self.places if known.startswith(f"{path}.")]:
                del self.places[known], self.files[known]
            self.add(path, COMMAND_LINE, None)
        while path:
            if path not in self.places:
                self.add(path, COMMAND_LINE, None)
            path = path.rpartition(".")[0]

    @staticmethod
    def _nearest(table: Mapping[str, Any], path: str) -> Any:
        while path:
            if path in table:
                return table[path]
            path = path.rpartition(".")[0]
        return None


def trace(files: Iterable[tuple[Path, str]]) -> Origins:
    """The origin of every value in `files` (each with its package), later files winning."""
    origins = Origins()
    for path, package in files:
        node, _ = read_nodes(path)
        if node is None:
            continue
        if package:
            origins.add(package, shown(path), path)
        for key, line in leaves(node, package):
            origins.add(key, f"{shown(path)}:{line}", path)
    return origins
