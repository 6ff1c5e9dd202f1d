"""Reads the overrides of the command line before Hydra does: as a person types them, all problems at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from llmops_core.errors import Problem
from llmops_core.locate import did_you_mean
from llmops_core.origins import COMMAND_LINE, Default, Origins, Written
from llmops_core.stages import BY_NAME

PLAIN = re.compile(r"^([~+]*)([A-Za-z_][\w./@\-]*)=(.*)$", re.DOTALL)
ENVIRONMENT = "env"


@dataclass
class Rewritten:
    """The overrides as Hydra takes them, and what is done once Hydra has composed."""

    choices: list[tuple[str, Default]] = field(default_factory=list)
    """(as typed, choice)"""
    values: list[tuple[str, str]] = field(default_factory=list)
    """(as typed, as Hydra takes it: ++path=value)"""
    removed: list[tuple[str, str]] = field(default_factory=list)
    """(as typed, dotted path or step to remove)"""
    problems: list[Problem] = field(default_factory=list)

    def tell(self, typed: str, what: str, remedy: str) -> None:
        """Note a problem of one override."""
        self.problems.append(Problem(typed, what, remedy, COMMAND_LINE))


@dataclass(frozen=True)
class Reader:
    """Knows the recipe that the overrides are for."""

    written: Written
    groups: frozenset[str]
    options: Callable[[str], Sequence[str]]
    """Group -> every name that may be chosen in it."""

    def read(self, typed: Sequence[str]) -> Rewritten:
        """Every override, rewritten; `written` takes in the choices made and the steps removed."""
        out = Rewritten()
        parser = OverridesParser.create()
        parsed = [(text, self._parse(parser, text, out)) for text in typed]
        # a step must be there before its parts and values can be told apart
        for depth in (True, False):
            for text, override in parsed:
                if override is not None and self._is_stage(override) is depth:
                    self._one(text, override, out)
        return out

    def _parse(self, parser: OverridesParser, text: str, out: Rewritten) -> Override | None:
        bare = text.removeprefix("~")
        if text.startswith("~") and re.fullmatch(r"[\w./@\-]+", bare):
            return parser.parse_override(text)
        try:
            override = parser.parse_override(text)
        except HydraException:
            quoted = PLAIN.match(text)
            if quoted is None:
                out.tell(text, "this is no override", "Write key=value, +key=value or ~key.")
                return None
            value = quoted[3].replace("\\", "\\\\").replace("'", "\\'")
            try:
                override = parser.parse_override(f"{quoted[1]}{quoted[2]}='{value}'")
            except HydraException:
                out.tell(text, "this is no override", "Write key=value; put odd values in quotes.")
                return None
        if override.is_sweep_override():
            out.tell(text, "several values for one key", "A run takes one; for a list write key=[a,b].")
            return None
        return override

    def _is_stage(self, override: Override) -> bool:
        key = override.key_or_group
        return key in BY_NAME or (override.package is not None and "/" not in key)

    def _one(self, text: str, override: Override, out: Rewritten) -> None:
        key, value = override.key_or_group, override.value()
        if key.split(".")[0].split("/")[0] == "hydra":
            out.tell(text, "hydra's own settings are not part of a recipe", "Leave it out.")
        elif override.is_delete():
            self._remove(text, key, override.package, out)
        elif (group := self._group(key, override.package, value)) is not None:
            self._choose(text, group, value, out)
        elif "/" in key or override.package is not None:
            out.tell(
                text, f"there is no group {key}", did_you_mean(key, self.groups) + "See: llmops show options"
            )
        else:
            out.values.append((text, f"++{key}={override.get_value_string()}"))

    def _group(self, key: str, package: str | None, value: Any) -> tuple[str, str] | None:
        """(group, place in the recipe) when the override chooses a preset, else None."""
        if value is not None and not isinstance(value, (str, QuotedString)):
            return None
        if "/" in key or package is not None:
            return (key, package or key.replace("/", ".")) if key in self.groups else None
        first, _, rest = key.partition(".")
        stage = self._stage(first)
        if stage is None:
            return (key, key) if key == ENVIRONMENT and key in self.groups else None
        group = "/".join([stage, *rest.split(".")]) if rest else stage
        return (group, key) if group in self.groups else None

    def _stage(self, step: str) -> str | None:
        """The stage of a step of this recipe; a stage's own name stands for its default step."""
        for choice in self.written.choices.values():
            if choice.package == step and "/" not in choice.group:
                return choice.group
        return step if step in BY_NAME else None

    def _choose(self, text: str, group: tuple[str, str], value: Any, out: Rewritten) -> None:
        name = value.text if isinstance(value, QuotedString) else value
        choice = Default(group[0], group[1], str(name), COMMAND_LINE)
        if name in (None, "null"):
            self._remove(text, group[0], group[1], out)
        elif name in (options := self.options(group[0])):
            out.choices.append((text, choice))
        else:
            remedy = f"{did_you_mean(choice.name, options)}See: llmops show options {group[0]}"
            out.tell(text, f"no such preset in {group[0]}/: {choice.name}", remedy)

    def _remove(self, text: str, key: str, package: str | None, out: Rewritten) -> None:
        place = package or key.replace("/", ".")
        out.removed.append((text, place))
        self.written.drop(place)


def choice_lines(rewritten: Rewritten, before: Written) -> list[str]:
    """The choices as Hydra takes them; `before` are those the recipe had made."""
    lines = []
    for _, choice in rewritten.choices:
        earlier = before.chosen(choice.group, choice.package)
        lines.append(f"{earlier.key}={choice.name}" if earlier else f"+{choice.key}={choice.name}")
    return lines


def note_origins(rewritten: Rewritten, origins: Origins) -> None:
    """Let the origin of every value that an override set be the command line."""
    for _, choice in rewritten.choices:
        origins.add(choice.package, COMMAND_LINE)
    for _, line in rewritten.values:
        path = line[2:].partition("=")[0]
        for known in [known for known in origins.places if known.startswith(f"{path}.")]:
            del origins.places[known]
        origins.add(path, COMMAND_LINE)
        parent = path.rpartition(".")[0]
        while parent and parent not in origins.places:
            origins.add(parent, COMMAND_LINE)
            parent = parent.rpartition(".")[0]
