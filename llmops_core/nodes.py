"""YAML files as nodes that know their lines, with everything that makes a file unreadable told."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from llmops_core.errors import Problem

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PACKAGE_HEADER = re.compile(r"^\s*#\s*@package\s+(\S+)")
TAG = "tag:yaml.org,2002:"
VALUE_TAGS = frozenset(f"{TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))
TAGS = VALUE_TAGS | {f"{TAG}map", f"{TAG}seq", f"{TAG}merge"}
KEY_TAGS = frozenset(f"{TAG}{name}" for name in ("str", "timestamp", "merge"))
MOST_VALUES = 100_000
"""Values that a config may hold once its aliases are written out."""


def shown(path: Path) -> str:
    """A path as short as a person would write it: relative to here when below here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def place(path: Path, node: yaml.Node) -> str:
    """The file and line where a node begins."""
    return f"{shown(path)}:{node.start_mark.line + 1}"


def read_nodes(path: Path) -> tuple[yaml.Node | None, list[Problem]]:
    """A YAML file's mapping, or None with the problems that make it unreadable. An empty file is
    (None, no problem)."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=Loader)
        if node is not None and _written_out(node, {}) > MOST_VALUES:
            what = f"its aliases stand for more than {MOST_VALUES:,} values"
            return None, [Problem("", what, "Write out what it needs.", place(path, node))]
        problems = list(_problems(node, "", path, ())) if node is not None else []
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{shown(path)}:{mark.line + 1}" if mark else shown(path)
        reason = getattr(error, "problem", None) or "this is not YAML"
        what, remedy = f"invalid YAML: {reason}", "Check the indentation and quotes there."
        return None, [Problem("", what, remedy, where)]
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem("", f"cannot read it: {error}", "Give a readable file in UTF-8.", shown(path))]
    except RecursionError:
        return None, [Problem("", "it is nested too deeply to be read", "Make it flatter.", shown(path))]
    if node is not None and not isinstance(node, yaml.MappingNode):
        what = "a config is a mapping of names"
        return None, [Problem("", what, "Write NAME: VALUE lines.", place(path, node))]
    return node, problems


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node has with every alias in its place, without visiting any of them twice."""
    if id(node) not in known:
        known[id(node)] = 1  # an alias inside what it stands for ends here; _problems tells of it
        pairs = node.value if isinstance(node, yaml.CollectionNode) else ()
        inside = (value[1] if isinstance(value, tuple) else value for value in pairs)
        known[id(node)] = 1 + sum(_written_out(value, known) for value in inside)
    return known[id(node)]


def _problems(node: yaml.Node, where: str, path: Path, trail: tuple[int, ...]) -> Iterator[Problem]:
    """What no config may hold, though YAML allows it."""
    if id(node) in trail:
        yield Problem(
            where, "this alias stands inside what it stands for", "Write it out.", place(path, node)
        )
        return
    if node.tag not in TAGS:
        tag = node.tag.replace(TAG, "!!")
        yield Problem(where, f"the tag {tag} has no meaning here", "Leave it out.", place(path, node))
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _problems(value, f"{where}.{number}", path, (*trail, id(node)))
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.tag not in KEY_TAGS or not isinstance(key, yaml.ScalarNode):
            kind = key.tag.rpartition(":")[2]
            what = f"YAML reads this name as a {kind}, not as a text"
            yield Problem(where, what, "Put the name in quotes.", place(path, key))
            continue
        name = f"{where}.{key.value}" if where else str(key.value)
        if name in seen:
            yield Problem(name, "this key stands here twice", "Keep one of them.", place(path, key))
        seen.add(name)
        yield from _problems(value, name, path, (*trail, id(node)))


def leaves(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every dotted path in a mapping with its line, parents before members."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path = f"{prefix}.{key.value}" if prefix else str(key.value)
        yield path, key.start_mark.line + 1
        yield from leaves(value, path)


def member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """The value of a key of a mapping, or None."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def text(node: yaml.Node | None) -> str | None:
    """The text of a plain value; None for anything else and for null."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == f"{TAG}null":
        return None
    return str(node.value)


def header_package(path: Path) -> str | None:
    """The package that a preset's `# @package NAME` comment states, "" for _global_, else None."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.lstrip().startswith("#"):
                return None
            if found := PACKAGE_HEADER.match(line):
                return "" if found[1] == "_global_" else found[1]
    return None
