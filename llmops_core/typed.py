"""A plain node of a config -> an instance of its dataclass, with every problem told."""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

from llmops_core.address import parse
from llmops_core.errors import AddressError
from llmops_core.locate import did_you_mean
from llmops_core.secret_names import names_secret
from llmops_core.settings import UNSET, Declared, Part, declared

Report = Callable[[str, str, str], None]
"""Called with (dotted path, what is wrong, what to do)."""
MISSING = "???"
SECRET = "${secret:"


class Bad:
    """Stands for a value that could not be read; the problem was reported."""


BAD = Bad()


@dataclasses.dataclass(frozen=True)
class Reading:
    """What reading a node needs to know: where to tell problems, and how to choose a part's dataclass."""

    report: Report
    config_class: Callable[[str, str, str], type[Any] | None]
    """(dotted path, group, use) -> the dataclass; None when there is none (and it was reported)."""
    folder: Callable[[str], Path]
    """Dotted path -> the folder relative file paths written there start from."""
    common: frozenset[str] = frozenset()

    def read(self, node: Any, cls: type[Any], path: str, owner: str = "") -> Any:
        """An instance of the dataclass `cls`, or BAD. `owner` is what its fields are said to be of."""
        if node is None:
            node = {}
        if isinstance(node, Bad):
            return BAD
        if not isinstance(node, Mapping):
            self.report(path, f"a mapping of fields is wanted, not {_show(node)}", "Write NAME: VALUE lines.")
            return BAD
        fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
        for name in node:
            if name not in fields:
                where = f"{path}.{name}" if path else str(name)
                self.report(
                    where,
                    f"no such field of {owner or path}",
                    did_you_mean(str(name), fields, f"{path}." if path else "")
                    or f"Its fields: {', '.join(fields) or 'none'}.",
                )
        hints = _hints(cls)
        values: dict[str, Any] = {}
        for name, field in fields.items():
            where = f"{path}.{name}" if path else name
            value = self._field(node.get(name, UNSET), hints[name], field, where)
            if value is not UNSET:
                values[name] = value
        if any(isinstance(value, Bad) for value in values.values()) or any(
            name not in fields for name in node
        ):
            return BAD
        try:
            return cls(**values)
        except Exception as error:  # what a dataclass refuses in __post_init__, or a fault in it
            self.report(path, str(error) or type(error).__name__, "")
            return BAD

    def _field(self, value: Any, hint: Any, field: dataclasses.Field[Any], path: str) -> Any:
        if isinstance(value, Bad):
            return BAD
        says = declared(field)
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if value == MISSING or (value is UNSET and required):
            self.report(path, f"a value is required: {says.doc}", f"Set it, for instance {path}=VALUE.")
            return BAD
        if value is UNSET:
            return self._default(field, says, path)
        if isinstance(field.default, Part) and isinstance(value, Mapping):
            value = {"use": field.default.use, **value}
        read = self._value(value, hint, says, path)
        if not isinstance(read, Bad):
            if not self._in_range(read, says, path):
                return BAD
            if says.path or says.address:
                return self._place(read, says, path)
        return read

    def _default(self, field: dataclasses.Field[Any], says: Declared, path: str) -> Any:
        """A default needs no reading, unless it is a part whose own defaults are to be filled in."""
        if says.group and isinstance(field.default, Part):
            return self._part({"use": field.default.use}, says.group, path, field.default.use)
        return UNSET

    def _value(self, value: Any, hint: Any, says: Declared, path: str) -> Any:
        if isinstance(value, Bad):
            return BAD
        if isinstance(value, str) and value == MISSING:
            return self._bad(path, "a value is required", f"Set it, for instance {path}=VALUE.")
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin in (Union, types.UnionType):
            return self._union(value, inner, says, path)
        if hint is Part:
            return self._part(value, says.group, path, "")
        if origin is Literal:
            if value in inner and type(value) in {type(one) for one in inner}:
                return value
            wanted = ", ".join(str(one) for one in inner)
            near = did_you_mean(str(value), [str(one) for one in inner])
            return self._bad(path, f"{_show(value)} is not one of {wanted}", near)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(value, inner[1], says, path)
        if isinstance(origin, type) and issubclass(origin, Sequence):
            return self._sequence(value, inner[0], says, path)
        if dataclasses.is_dataclass(hint):
            return self.read(value, typing.cast("type[Any]", hint), path)
        if hint is Any:
            return value
        return self._scalar(value, hint, says, path)

    def _union(self, value: Any, options: Sequence[Any], says: Declared, path: str) -> Any:
        if value is None and type(None) in options:
            return None
        rest = [option for option in options if option is not type(None)]
        for option in rest[:-1]:
            quiet = dataclasses.replace(self, report=lambda path, what, remedy: None)
            if not isinstance(read := quiet._value(value, option, says, path), Bad):
                return read
        return self._value(value, rest[-1], says, path)

    def _scalar(self, value: Any, hint: Any, says: Declared, path: str) -> Any:
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 2**1000 else math.inf
        if type(value) is not hint:
            quoted = f"Write it in quotes; on the command line '{path}=\"...\"'."
            remedy = quoted if hint is str and isinstance(value, (bool, int, float)) else ""
            return self._bad(path, f"{_name(hint)} is wanted, not {_show(value)}", remedy)
        if hint is str and not says.secret and SECRET in value:
            return self._bad(path, "this field takes no secret", "Name it in a field that does.")
        if hint is str and says.secret and value and not names_secret(value):
            # the value may be a secret typed by mistake: it is not echoed
            return self._bad(
                path,
                "only a secret's name may stand here",
                "Write ${secret:NAME} and set NAME in the environment.",
            )
        if hint is float and not math.isfinite(value):
            return self._bad(path, f"a finite number is wanted, not {value}", "")
        return value

    def _mapping(self, value: Any, hint: Any, says: Declared, path: str) -> Any:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            return self._bad(
                path, f"a mapping of names is wanted, not {_show(value)}", "Write NAME: VALUE lines."
            )
        read: dict[str, Any] = {}
        for name, member in value.items():
            where = f"{path}.{name}"
            if hint is Part and not isinstance(member, Bad) and member != MISSING:
                read[str(name)] = self._part({} if member is None else member, says.group, where, str(name))
            else:
                read[str(name)] = self._value(member, hint, says, where)
        return BAD if any(isinstance(one, Bad) for one in read.values()) else read

    def _sequence(self, value: Any, hint: Any, says: Declared, path: str) -> Any:
        if not isinstance(value, (list, tuple)):
            return self._bad(path, f"a list is wanted, not {_show(value)}", f"Write [{value}].")
        read = tuple(self._value(one, hint, says, f"{path}.{index}") for index, one in enumerate(value))
        return BAD if any(isinstance(one, Bad) for one in read) else read

    def _part(self, value: Any, group: str, path: str, default: str) -> Any:
        if isinstance(value, str):
            value = {"use": value}
        if not isinstance(value, Mapping):
            return self._bad(
                path,
                f"a choice of {group} is wanted, not {_show(value)}",
                f"See: llmops show options {group}",
            )
        use = value.get("use", default)
        if isinstance(use, Bad):
            return BAD
        if not isinstance(use, str) or not use or use == MISSING:
            return self._bad(
                path,
                f"no implementation of {group} is named",
                f"Write use: NAME. See: llmops show options {group}",
            )
        cls = self.config_class(path, group, use)
        if cls is None:
            return BAD
        config = self.read({name: one for name, one in value.items() if name != "use"}, cls, path, use)
        return BAD if isinstance(config, Bad) else Part(group, use, config)

    def _place(self, value: Any, says: Declared, path: str) -> Any:
        """A file path made absolute and checked; an address of another kind is left as it is."""
        if isinstance(value, tuple):
            places = tuple(self._place(one, says, f"{path}.{index}") for index, one in enumerate(value))
            return BAD if any(isinstance(one, Bad) for one in places) else places
        if not isinstance(value, str) or not value:
            return value
        text = value
        if says.address or value.startswith("file:"):
            try:
                address = parse(value)
            except AddressError as error:
                return self._bad(path, error.problem.what, error.problem.remedy)
            if address.scheme != "file":
                return value
            text = address.path
        place = self.folder(path) / Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser fails on ~nobody
        try:
            place = place.resolve()
            found = place.exists()
        except (OSError, ValueError, RuntimeError) as error:
            return self._bad(
                path,
                f"no file can have the path {_show(text)[:80]}: {type(error).__name__}",
                "Correct the path.",
            )
        if not found:
            remedy = "Check the path; relative ones start at the folder of the file they are written in."
            return self._bad(path, f"there is no file or folder {place}", remedy)
        return f"file:{place}" if says.address else str(place)

    def _in_range(self, value: Any, says: Declared, path: str) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return True
        for bound, inside, word in (
            (says.at_least, operator.ge, "at least"),
            (says.at_most, operator.le, "at most"),
            (says.above, operator.gt, "above"),
            (says.below, operator.lt, "below"),
        ):
            if bound is not None and not inside(value, bound):
                unit = f" {says.unit}" if says.unit else ""
                self.report(path, f"{value} is out of range", f"It must be {word} {bound:g}{unit}.")
                return False
        return True

    def _bad(self, path: str, what: str, remedy: str) -> Bad:
        self.report(path, what, remedy)
        return BAD


def plain(value: Any) -> Any:
    """A typed config as plain values that `Reading.read` takes back: the round trip of a dataclass."""
    if isinstance(value, Part):
        return {"use": value.use, **plain(value.config)} if value.config is not None else {"use": value.use}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init
        }
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value


def fault_of(cls: Any, reserved: Sequence[str]) -> str:
    """Why a class cannot be read into, as its plugin declares it; "" when it can.

    `reserved` are the names that the core itself uses beside the fields.
    """
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        return "it is no dataclass"
    try:
        hints = _hints(cls)
        for field in dataclasses.fields(cls):
            if field.init:
                declared(field)
    except (TypeError, NameError, AttributeError) as error:
        return str(error)
    taken = [field.name for field in dataclasses.fields(cls) if field.name in reserved]
    if taken:
        return f"it has a field called {taken[0]}, which every step or part has already"
    nested = [hint for hint in hints.values() if dataclasses.is_dataclass(hint) and hint is not Part]
    return next((fault for inner in nested if (fault := fault_of(inner, ()))), "")


def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _name(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _show(value: Any) -> str:
    if isinstance(value, str):
        return f'the text "{value if len(value) < 60 else value[:57] + "..."}"'
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return json.dumps(value) if isinstance(value, (bool, int, float)) or value is None else repr(value)
