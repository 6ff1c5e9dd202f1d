"""What a recipe's files choose: their defaults lists, followed from file to file before Hydra composes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from llmops_core.errors import Problem
from llmops_core.locate import Library, did_you_mean
from llmops_core.nodes import header_package, member, place, read_nodes, shown, text
from llmops_core.stages import BESIDE, BY_NAME

NOTHING = "null"
"""The name of a choice of nothing: the step or part is left out."""
START = "llmops_recipe"
"""The name under which Hydra knows the recipe itself."""


@dataclass(frozen=True)
class Default:
    """One entry of a defaults list: a chosen preset (`group`), or another config (`group` empty)."""

    group: str
    package: str
    """Where it is placed in the recipe, dotted; "" is the top."""
    name: str
    origin: str

    @property
    def key(self) -> str:
        """As Hydra writes it: "train/tuning" or "data@documents"."""
        own = self.group.replace("/", ".")
        return self.group if self.package == own else f"{self.group}@{self.package}"

    @property
    def home(self) -> str:
        """Where its values stand: its package, or its own name below a group beside the stages."""
        return f"{self.group}.{self.name}" if self.package == self.group in BESIDE else self.package


@dataclass
class Written:
    """Everything a recipe's files say, in the order they are merged, before Hydra composes them."""

    choices: dict[str, Default] = field(default_factory=dict)
    order: list[Path | str] = field(default_factory=list)
    """What is merged, in order: a config's file, or the key of a choice."""
    names: dict[Path, str] = field(default_factory=dict)
    """The recipe's file and those it extends -> the name Hydra knows them by."""
    spelled: dict[str, str] = field(default_factory=dict)
    """Step name -> stage, of the steps that a file writes out with `use` instead of choosing them."""
    problems: list[Problem] = field(default_factory=list)
    """What makes it impossible to compose them."""

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

    def drop(self, place: str) -> list[str]:
        """Forget the choices made for a step (or part) and its parts; gives their keys."""
        gone = [key for key, one in self.choices.items() if f"{one.package}.".startswith(f"{place}.")]
        for key in gone:
            del self.choices[key]
            self.order.remove(key)
        self.spelled.pop(place, None)
        return gone

    def steps(self) -> dict[str, str]:
        """Step name -> stage."""
        chosen = [one for one in self.choices.values() if one.group in BY_NAME and one.name != NOTHING]
        return {**{one.package: one.group for one in chosen}, **self.spelled}

    def files(self, library: Library) -> list[tuple[Path, Default | None, str]]:
        """(file, the choice it is for, package) in merge order; a choice without a file is left out."""
        found: list[tuple[Path, Default | None, str]] = []
        for item in self.order:
            if isinstance(item, Path):
                found.append((item, None, ""))
                continue
            choice = self.choices[item]
            if path := library.preset(choice.group, choice.name):
                package = header_package(path)
                found.append((path, choice, choice.home if package is None else package))
        return found


def read_recipe(path: Path, library: Library) -> Written:
    """Follow a recipe's defaults lists."""
    written = Written()
    _follow(path, START, library, written, (path,))
    return written


def _follow(path: Path, name: str, library: Library, written: Written, trail: tuple[Path, ...]) -> None:
    node, problems = read_nodes(path)
    written.problems += problems
    written.names[path] = name
    if node is None:
        written.order.append(path)
        return
    for entry in _entries(path, node, written.problems):
        if entry.name == "_self_":
            written.order.append(path)
            written.spelled |= _spelled(node)
        elif entry.group:
            written.choose(entry)
        else:
            found = library.config(entry.name, trail[:1])
            if found is None or found in trail:
                near = "" if found else did_you_mean(entry.name, ["_self_", "base", *library.recipe_names()])
                what = f"{entry.name} includes itself" if found else f"there is no config named {entry.name}"
                remedy = "Leave it out." if found else f"{near}See: llmops show recipes"
                written.problems.append(Problem("defaults", what, remedy, entry.origin))
            else:
                _follow(found, entry.name, library, written, (*trail, found))


def _entries(path: Path, node: yaml.Node, problems: list[Problem]) -> list[Default]:
    """The defaults list of one file, `_self_` last when it is not in it."""
    listed = member(node, "defaults")
    items: list[yaml.Node] = [listed] if listed is not None and listed.value else []
    items = listed.value if isinstance(listed, yaml.SequenceNode) else items
    entries: list[Default] = []
    for item in items:
        entry = _entry(item, place(path, item))
        if entry is None:
            what = "this entry of the defaults list is neither NAME nor GROUP: NAME"
            remedy = "Write for instance - train: lightning"
            problems.append(Problem("defaults", what, remedy, place(path, item)))
        elif entry.group.split("/")[0] == "hydra":
            what = "hydra's own settings are not part of a recipe"
            problems.append(Problem(entry.group, what, "Leave it out.", entry.origin))
        else:
            entries.append(entry)
    if not any(entry.name == "_self_" for entry in entries):
        entries.append(Default("", "", "_self_", shown(path)))
    return entries


def _entry(item: yaml.Node, origin: str) -> Default | None:
    if isinstance(item, yaml.ScalarNode):
        return Default("", "", str(item.value), origin) if text(item) else None
    pairs = item.value if isinstance(item, yaml.MappingNode) else []
    if len(pairs) != 1:
        return None
    key, value = pairs[0]
    if not isinstance(value, yaml.ScalarNode) or not str(key.value).split():
        return None
    group, _, package = str(key.value).split()[-1].lstrip("/").partition("@")
    name = text(value)
    return Default(group, package or group.replace("/", "."), NOTHING if name is None else name, origin)


def _spelled(node: yaml.Node) -> dict[str, str]:
    """The steps that a file writes out: a mapping that names its implementation."""
    found = {}
    for key, value in getattr(node, "value", ()):
        stage = text(member(value, "stage")) or str(key.value)
        if stage in BY_NAME and member(value, "use") is not None:
            found[str(key.value)] = stage
    return found


def file_problems(files: Sequence[tuple[Path, Default | None, str]]) -> list[Problem]:
    """What is wrong with each file by itself: unreadable, a preset with defaults, hydra's own settings."""
    problems: list[Problem] = []
    for path, choice in {path: choice for path, choice, _ in files}.items():
        node, found = read_nodes(path)
        problems += found
        listed = member(node, "defaults")
        if choice is not None and listed is not None:
            what, remedy = "a preset has no defaults list", "Choose parts in the recipe instead."
            problems.append(Problem("defaults", what, remedy, place(path, listed)))
        if (own := member(node, "hydra")) is not None:
            what = "hydra's own settings are not part of a recipe"
            problems.append(Problem("hydra", what, "Leave it out.", place(path, own)))
    return problems
