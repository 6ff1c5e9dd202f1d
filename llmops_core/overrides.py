"""Reads the overrides of the command line before Hydra does: as a person types them, all problems at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from llmops_core.defaults import Default, Written
from llmops_core.errors import Problem
from llmops_core.locate import did_you_mean
from llmops_core.origins import COMMAND_LINE
from llmops_core.secret_names import looks_secret
from llmops_core.stages import BESIDE, BY_NAME

KEY = r"[A-Za-z_][\w./\-]*(?:@[\w.\-]+)?"
ASSIGNED = re.compile(rf"(\+{{0,2}})({KEY})=(.*)", re.DOTALL)
REMOVED = re.compile(rf"~({KEY})(?:=.*)?", re.DOTALL)
ENVIRONMENT = "env"
LONGEST = 100
"""How many characters of an override are repeated in a message."""


@dataclass(frozen=True)
class Typed:
    """One override as it was typed, taken apart."""

    text: str
    key: str
    package: str | None
    value: Any = None
    removes: bool = False

    @property
    def place(self) -> str:
        """Where in the recipe it acts, dotted."""
        return self.package or self.key.replace("/", ".")


@dataclass
class Rewritten:
    """What the overrides ask for."""

    choices: list[tuple[str, Default]] = field(default_factory=list)
    """(as typed, choice)"""
    values: list[tuple[str, str, Any]] = field(default_factory=list)
    """(as typed, dotted path, value)"""
    removed: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Dotted path to remove -> (as typed, whether a choice was dropped with it)"""
    problems: list[Problem] = field(default_factory=list)

    def tell(self, typed: str, what: str, remedy: str) -> None:
        """Note a problem of one override. What may be a secret is not repeated."""
        key, assigned, _ = typed.partition("=")
        where = f"{key}=..." if assigned and (looks_secret(key) or len(typed) > LONGEST) else typed
        self.problems.append(Problem(where, what, remedy, COMMAND_LINE))


@dataclass(frozen=True)
class Reader:
    """Knows the recipe that the overrides are for."""

    written: Written
    groups: frozenset[str]
    options: Callable[[str], Sequence[str]]
    """Group -> every name that may be chosen in it."""

    def read(self, typed: Sequence[str]) -> Rewritten:
        """Every override taken apart; `written` takes in the choices made and the steps removed."""
        out = Rewritten()
        parser = OverridesParser.create()
        parsed = [one for text in typed if (one := _parse(parser, text, out)) is not None]
        for one in parsed:
            if one.removes:
                dropped = self.written.drop(one.place)
                out.removed[one.place] = (one.text, bool(dropped))
        kept = [one for one in parsed if not one.removes and not _contradicts(one, out)]
        # a step must be there before its parts and values can be told apart
        for stage in (True, False):
            for one in kept:
                if (one.key in BY_NAME) is stage:
                    self._one(one, out)
        out.values = _shorthand(out.values)
        return out

    def _one(self, one: Typed, out: Rewritten) -> None:
        group = self._group(one)
        if re.split(r"[./]", one.key)[0] == "hydra":
            out.tell(one.text, "hydra's own settings are not part of a recipe", "Leave it out.")
        elif group is not None:
            self._choose(one, group, out)
        elif "/" in one.key or one.package is not None:
            remedy = f"{did_you_mean(one.key, self.groups)}See: llmops show options"
            out.tell(one.text, f"there is no group {one.key}", remedy)
        else:
            out.values.append((one.text, one.key, one.value))

    def _group(self, one: Typed) -> str | None:
        """The group when the override chooses a preset, else None."""
        if isinstance(one.value, (Mapping, list)):
            return None
        if "/" in one.key or one.package is not None:
            return one.key if one.key in self.groups else None
        first, _, rest = one.key.partition(".")
        stage = self.written.steps().get(first) or (first if first in BY_NAME else None)
        if stage is None:
            return one.key if one.key in (ENVIRONMENT, *BESIDE) else None
        group = "/".join([stage, *rest.split(".")]) if rest else stage
        return group if group in self.groups and (not rest or isinstance(one.value, str)) else None

    def _choose(self, one: Typed, group: str, out: Rewritten) -> None:
        choice = Default(group, one.place, str(one.value), COMMAND_LINE)
        options = self.options(group)
        if one.value is None:
            dropped = self.written.drop(one.place)
            out.removed[one.place] = (one.text, bool(dropped))
        elif choice.name in options:
            out.choices.append((one.text, choice))
            self.written.choose(choice)
        else:
            remedy = f"{did_you_mean(choice.name, options)}{where_to_look(group)}"
            out.tell(one.text, f"no such preset in {group}/: {choice.name}", remedy)


def where_to_look(group: str) -> str:
    """What shows which names a group has."""
    if group == ENVIRONMENT:
        return "Write env/NAME.yaml beside the recipe, beginning with # @package _global_"
    return f"See: llmops show options {group}"


def _parse(parser: OverridesParser, text: str, out: Rewritten) -> Typed | None:
    if found := REMOVED.fullmatch(text):
        key, _, package = found[1].partition("@")
        return Typed(text, key, package or None, removes=True)
    assigned = ASSIGNED.fullmatch(text)
    if assigned is None:
        out.tell(text, "this is no override", "Write key=value, +key=value or ~key.")
        return None
    key, _, package = assigned[2].partition("@")
    try:
        override = parser.parse_override(f"key={assigned[3]}")
    except (HydraException, ValueError, RecursionError):
        return Typed(text, key, package or None, assigned[3])  # what is no value of Hydra's is a plain text
    if override.is_sweep_override():
        remedy = f"A run takes one. For a list write {key}=[a,b]; for a text with commas '{key}=\"a, b\"'."
        out.tell(text, "several values for one key", remedy)
        return None
    return Typed(text, key, package or None, override.value())


def _contradicts(one: Typed, out: Rewritten) -> bool:
    """Whether an override acts on what another removes; told when it does."""
    for place, (typed, _) in out.removed.items():
        if f"{one.place}.".startswith(f"{place}."):
            out.tell(one.text, f"{typed} removes what this sets", "Leave one of the two out.")
            return True
    return False


def _shorthand(values: Sequence[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    """`data.steps.x=near` chooses x's implementation, which `data.steps.x.threshold=0.9` must not undo."""
    found = []
    for typed, path, value in values:
        inside = any(other.startswith(f"{path}.") for _, other, _ in values)
        found.append((typed, f"{path}.use" if inside and isinstance(value, str) else path, value))
    return found


def choice_lines(rewritten: Rewritten, before: Written) -> list[str]:
    """The choices made, as Hydra takes them; `before` are those the recipe had made."""
    lines = []
    made = {(choice.group, choice.package): choice for _, choice in rewritten.choices}
    for choice in made.values():
        earlier = before.chosen(choice.group, choice.package)
        lines.append(f"{earlier.key}={choice.name}" if earlier else f"+{choice.key}={choice.name}")
    return lines
