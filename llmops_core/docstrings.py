"""What an object says of itself, read from its source: nothing is imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path


def docstring(target: str) -> str:
    """The docstring of "package.module:function" or of a class there; "" where none can be read."""
    module, _, name = target.partition(":")
    place = _source(module)
    try:
        tree = ast.parse(Path(place).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return ast.get_docstring(node) or ""
    return ""


def _source(module: str) -> str:
    """The file of a module, found as an import would find it; asking importlib would import its package."""
    within: Sequence[str] | None = None
    place, name = "", ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        found = (finder.find_spec(name, within) for finder in sys.meta_path)
        spec = next((one for one in found if one is not None), None)
        if spec is None:
            return ""
        within, place = spec.submodule_search_locations, spec.origin or ""
    return place
