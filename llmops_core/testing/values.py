"""Other values for a config's fields: valid ones, to see what they change, and wrong ones."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Union

from llmops_core.settings import Declared, Part, declared

SIMPLE = (bool, int, float, str)


@dataclasses.dataclass(frozen=True)
class Place:
    """A field of a config, somewhere inside it."""

    path: str
    hint: Any
    value: Any
    says: Declared


def places(config: Any, path: str = "") -> Iterator[Place]:
    """Every field of a config and of the dataclasses inside it; parts have configs of their own."""
    hints = typing.get_type_hints(type(config))
    for one in dataclasses.fields(config):
        if not one.init:
            continue
        where = f"{path}.{one.name}" if path else one.name
        value = getattr(config, one.name)
        yield Place(where, hints[one.name], value, declared(one))
        members = value.items() if isinstance(value, Mapping) else [("", value)]
        for name, member in members:
            if _nested(member):
                yield from places(member, f"{where}.{name}" if name else where)


def replaced(config: Any, path: str, value: Any) -> Any:
    """A copy of a config in which the field at a dotted path has another value."""
    head, _, rest = path.partition(".")
    if isinstance(config, Mapping):
        return {**config, head: replaced(config[head], rest, value) if rest else value}
    new = replaced(getattr(config, head), rest, value) if rest else value
    return dataclasses.replace(config, **{head: new})


def other(place: Place) -> Iterator[Any]:
    """Values that the field may have instead of its own."""
    if place.says.path or place.says.address or place.says.group:
        return
    if place.says.secret:
        yield "${secret:ANOTHER}"
        return
    for hint in _options(place.hint):
        yield from (one for one in _valid(hint, place.value, place.says) if one != place.value)


def varied(config: Any, fixed: Sequence[str] = ()) -> Any:
    """A config in which every number and switch that is marked output=False has another value."""
    for place in places(config):
        if place.says.output or place.path in fixed or place.says.secret:
            continue
        for value in other(place):
            if isinstance(value, (bool, int, float)):
                config = replaced(config, place.path, value)
                break
    return config


def wrong(place: Place) -> Iterator[tuple[Any, bool]]:
    """Values that a recipe might hold by mistake, each with whether it has to be refused."""
    options = _options(place.hint)
    simple = all(one in SIMPLE or typing.get_origin(one) is Literal for one in options)
    yield {"no_such": {"thing": 1}}, simple
    yield [["a", 1], None], simple
    numbers = [one for one in options if one in (int, float)]
    if numbers and str not in options:
        yield "many", True
    if float in options:
        yield math.nan, False
        yield -math.inf, any(bound is not None for bound in (place.says.at_least, place.says.above))
    if str not in options and simple:
        yield "", True
    if numbers:
        yield from ((one, True) for one in _outside(place.says, float in numbers))
        yield 10**30, False
        bounds = (place.says.at_least, place.says.at_most)
        yield from ((_number(bound, float in numbers), False) for bound in bounds if bound is not None)
    if any(typing.get_origin(one) is Literal for one in options) and str not in options:
        yield "no such choice", True
    yield None, False
    yield "${secret:NAME}", False
    yield "\x00🙂" * 2000, False


def allowed(hint: Any) -> bool:
    """Whether a type may be a field's: those that llmops_core.settings names."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return all(one is type(None) or allowed(one) for one in inner)
    if origin is Literal or hint in SIMPLE or hint is Part:
        return True
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return len(inner) == 2 and inner[0] is str and allowed(inner[1])
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return bool(inner) and allowed(inner[0])
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _nested(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, (type, Part))


def _options(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(one for one in typing.get_args(hint) if one is not type(None))
    return (hint,)


def _valid(hint: Any, value: Any, says: Declared) -> Iterator[Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        yield from inner
    elif hint is bool:
        yield not value
    elif hint is int:
        start = value if isinstance(value, int) else 1
        yield from (one for one in (start + 1, start - 1, 1, 2) if inside(one, says))
    elif hint is float:
        near = float(value) if isinstance(value, (int, float)) else 1.0
        yield from (one for one in (near * 1.25, near * 0.75, near + 0.125, 1.0, 0.5) if inside(one, says))
    elif hint is str:
        yield f"{value}2" if isinstance(value, str) and value else "other"
    elif isinstance(origin, type) and issubclass(origin, Sequence) and inner[0] in SIMPLE:
        more = next(_valid(inner[0], value[-1] if value else None, says), None)
        yield (*(value or ()), more)


def inside(value: float, says: Declared) -> bool:
    """Whether a number lies within what a field declares."""
    return (
        (says.at_least is None or value >= says.at_least)
        and (says.at_most is None or value <= says.at_most)
        and (says.above is None or value > says.above)
        and (says.below is None or value < says.below)
    )


def _outside(says: Declared, fractions: bool) -> Iterator[float]:
    step = 0.5 if fractions else 1
    if says.at_least is not None:
        yield _number(says.at_least - step, fractions)
    if says.at_most is not None:
        yield _number(says.at_most + step, fractions)
    if says.above is not None:
        yield _number(says.above, fractions)
    if says.below is not None:
        yield _number(says.below, fractions)


def _number(value: float, fractions: bool) -> float:
    return float(value) if fractions else int(value)
