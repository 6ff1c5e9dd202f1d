"""Where each value of a recipe came from: file and line, read from the YAML's own marks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from llmops_core.errors import Problem
from llmops_core.locate import Library

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
COMMAND_LINE = "command line"
PACKAGE_HEADER = re.compile(r"^\s*#\s*@package\s+(\S+)")


@dataclass(frozen=True)
class Default:
    """One entry of a defaults list: a chosen preset (`group`), or another config (`group` empty)."""

    group: str
    package: str
    """Where it is placed in the recipe, dotted; "" is the top."""
    name: str
    origin: str
    override: bool = False

    @property
    def key(self) -> str:
        """As Hydra writes it: "train/tuning" or "data@documents"."""
        own = self.group.replace("/", ".")
        return self.group if self.package == own else f"{self.group}@{self.package}"


@dataclass
class Origins:
    """For every dotted path that was written somewhere, the last place that wrote it."""

    places: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    """For every such path, the folder that relative paths written there start from."""

    def of(self, path: str) -> str:
        """Where `path`, or else its nearest parent, was written; "" when nowhere (a default)."""
        return self._nearest(self.places, path) or ""

    def folder(self, path: str) -> Path:
        """The folder that a relative file path written at `path` starts from."""
        return self._nearest(self.folders, path) or Path.cwd()

    def add(self, path: str, place: str, folder: Path | None = None) -> None:
        """Note that `path` was written at `place`."""
        self.places[path] = place
        self.folders[path] = folder or Path.cwd()

    @staticmethod
    def _nearest(table: Mapping[str, Any], path: str) -> Any:
        while path:
            if path in table:
                return table[path]
            path = path.rpartition(".")[0]
        return None


def shown(path: Path) -> str:
    """A path as short as a person would write it: relative to here when below here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def read_nodes(path: Path) -> tuple[yaml.Node | None, Problem | None]:
    """A YAML file as nodes that know their lines, or the problem that makes it unreadable."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{shown(path)}:{mark.line + 1}" if mark else shown(path)
        reason = getattr(error, "problem", None) or "this is not YAML"
        return None, Problem("", f"invalid YAML: {reason}", "Check the indentation and quotes there.", place)
    except (OSError, UnicodeDecodeError) as error:
        return None, Problem("", f"cannot read it: {error}", "Give a readable file in UTF-8.", shown(path))
    if node is not None and not isinstance(node, yaml.MappingNode):
        place = f"{shown(path)}:{node.start_mark.line + 1}"
        return None, Problem("", "a config is a mapping of names", "Write NAME: VALUE lines.", place)
    return node, None


def leaves(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every dotted path in a mapping with its line, parents before members."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path = f"{prefix}.{key.value}" if prefix else str(key.value)
        yield path, key.start_mark.line + 1
        yield from leaves(value, path)


def duplicates(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Every key that a mapping holds twice, with the line of the second."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        path = f"{prefix}.{key.value}" if prefix else str(key.value)
        if path in seen:
            yield path, key.start_mark.line + 1
        seen.add(path)
        yield from duplicates(value, path)


def header_package(path: Path) -> str | None:
    """The package that a preset's `# @package NAME` comment states, "" for _global_, else None."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.lstrip().startswith("#"):
                return None
            if found := PACKAGE_HEADER.match(line):
                return "" if found[1] == "_global_" else found[1]
    return None


def read_defaults(path: Path, node: yaml.Node) -> tuple[list[Default], list[Problem]]:
    """The defaults list of one file."""
    entries: list[Default] = []
    problems: list[Problem] = []
    for key, value in getattr(node, "value", ()):
        if key.value != "defaults":
            continue
        items = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for item in items:
            place = f"{shown(path)}:{item.start_mark.line + 1}"
            entry = _entry(item, place)
            if entry is None:
                what = "this entry of the defaults list is neither NAME nor GROUP: NAME"
                problems.append(Problem("defaults", what, "Write for instance - train: lightning", place))
            else:
                entries.append(entry)
    if not any(entry.name == "_self_" for entry in entries):
        entries.append(Default("", "", "_self_", shown(path)))
    return entries, problems


def _entry(item: yaml.Node, place: str) -> Default | None:
    if isinstance(item, yaml.ScalarNode):
        return Default("", "", str(item.value), place)
    pairs = getattr(item, "value", [])
    if not isinstance(item, yaml.MappingNode) or len(pairs) != 1:
        return None
    key, value = pairs[0]
    if not isinstance(value, yaml.ScalarNode):
        return None
    words = str(key.value).split()
    group, _, package = words[-1].lstrip("/").partition("@")
    package = package or group.replace("/", ".")
    return Default(group, package, str(value.value), place, override="override" in words[:-1])


@dataclass
class Written:
    """Everything a recipe's files say, in the order they are merged, before Hydra composes them."""

    choices: dict[str, Default] = field(default_factory=dict)
    order: list[Path | str] = field(default_factory=list)
    """What is merged, in order: a config's file, or the key of a choice."""
    problems: list[Problem] = field(default_factory=list)

    def chosen(self, group: str, package: str) -> Default | None:
        """The choice made for a group at a place of the recipe."""
        same = (one for one in self.choices.values() if one.group == group and one.package == package)
        return next(same, None)

    def choose(self, choice: Default) -> None:
        """Make a choice, or make an earlier one anew at its old place in the order."""
        earlier = self.chosen(choice.group, choice.package)
        if earlier is None:
            self.order.append(choice.key)
        self.choices[earlier.key if earlier else choice.key] = choice

    def drop(self, step: str) -> None:
        """Forget every choice made for a step and its parts."""
        for key, choice in list(self.choices.items()):
            if choice.package == step or choice.package.startswith(f"{step}."):
                del self.choices[key]
                self.order.remove(key)

    def files(self, library: Library) -> list[tuple[Path, str]]:
        """(file, package) in merge order; a choice without a file of its own is left out."""
        found: list[tuple[Path, str]] = []
        for item in self.order:
            if isinstance(item, Path):
                found.append((item, ""))
                continue
            choice = self.choices[item]
            if path := library.preset(choice.group, choice.name):
                package = header_package(path)
                found.append((path, choice.package if package is None else package))
        return found


def read_recipe(path: Path, library: Library) -> Written:
    """Follow a recipe's defaults lists."""
    written = Written()
    _follow(path, library, written, (path,))
    return written


def _follow(path: Path, library: Library, written: Written, trail: tuple[Path, ...]) -> None:
    node, problem = read_nodes(path)
    if problem:
        written.problems.append(problem)
    if node is None:
        written.order.append(path)
        return
    entries, problems = read_defaults(path, node)
    written.problems += problems
    for entry in entries:
        if entry.name == "_self_":
            written.order.append(path)
        elif entry.group:
            written.choose(entry)
        else:
            found = library.config(entry.name)
            if found is None or found in trail:
                what = f"{entry.name} includes itself" if found else f"there is no config named {entry.name}"
                written.problems.append(Problem("defaults", what, "See: llmops show recipes", entry.origin))
            else:
                _follow(found, library, written, (*trail, found))


def file_problems(files: Sequence[tuple[Path, str]]) -> list[Problem]:
    """What is wrong with each file by itself: no YAML, a key written twice, a preset with defaults."""
    problems: list[Problem] = []
    for path, package in dict(files).items():
        node, problem = read_nodes(path)
        if problem:
            problems.append(problem)
            continue
        for key, line in duplicates(node):
            place = f"{shown(path)}:{line}"
            problems.append(Problem(key, "this key stands here twice", "Keep one of them.", place))
        if package and any(key.value == "defaults" for key, _ in getattr(node, "value", ())):
            what, remedy = "a preset has no defaults list", "Choose parts in the recipe instead."
            problems.append(Problem("defaults", what, remedy, shown(path)))
    return problems


def trace(files: Sequence[tuple[Path, str]]) -> Origins:
    """The origin of every value in `files`, later files winning."""
    origins = Origins()
    for path, package in files:
        node, _ = read_nodes(path)
        if node is None:
            continue
        if package:
            origins.add(package, shown(path), path.parent)
        for key, line in leaves(node, package):
            origins.add(key, f"{shown(path)}:{line}", path.parent)
    return origins
