"""What a plugin's dataclasses promise: documented, typed, ranged, read back as written, and strict."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from typing import Any, TypeGuard

from llmops_core.errors import LlmopsError
from llmops_core.hookspecs import Implementation
from llmops_core.keys import content, digest
from llmops_core.plugins import resolve
from llmops_core.settings import Part, declared
from llmops_core.testing import values
from llmops_core.testing.contract_checks import label
from llmops_core.testing.examination import Examination
from llmops_core.testing.examples import Unfit, example_of, examples_place, reader, typed
from llmops_core.testing.findings import Check, Finding, NothingToCheck
from llmops_core.testing.material import Material
from llmops_core.typed import BAD, plain

SECRET_NAMES = re.compile(
    r"(^|_)(token|password|passphrase|secret|api_key|access_key|private_key|credentials?)$", re.IGNORECASE
)


def documented(exam: Examination) -> Iterator[Finding]:
    """Every class and every field says what it is."""
    for where, cls in _classes(exam):
        if not (cls.__doc__ or "").strip() or cls.__doc__.startswith(f"{cls.__name__}("):
            yield Finding(where, f"{cls.__name__} has no docstring", "Say in a sentence what it configures.")
        for one in dataclasses.fields(cls):
            try:
                if not declared(one).doc.strip():
                    yield Finding(f"{where}.{one.name}", "it has no doc", 'Write setting(..., doc="...").')
            except TypeError:
                remedy = "Use setting(...), part(...) or parts(...) of llmops_core.settings."
                yield Finding(f"{where}.{one.name}", "it is not made by setting(...)", remedy)


def well_typed(exam: Examination) -> Iterator[Finding]:
    """Configs are frozen dataclasses, and each field has a type that YAML can hold and the core can check."""
    for where, cls in _classes(exam):
        if not cls.__dataclass_params__.frozen:
            yield Finding(where, f"{cls.__name__} is not frozen", "Write @dataclass(frozen=True).")
        hints = typing.get_type_hints(cls)
        for one in dataclasses.fields(cls):
            if not values.allowed(hints[one.name]):
                remedy = "See llmops_core/settings.py for the types that a field may have."
                yield Finding(f"{where}.{one.name}", f"{one.type} is no type for a field", remedy)


def ranged(exam: Examination) -> Iterator[Finding]:
    """Bounds stand on numbers, leave something between them, and hold the default."""
    for where, cls in _classes(exam):
        for one in dataclasses.fields(cls):
            says = declared(one)
            low = [bound for bound in (says.at_least, says.above) if bound is not None]
            high = [bound for bound in (says.at_most, says.below) if bound is not None]
            if (low or high) and not {int, float} & _members(typing.get_type_hints(cls)[one.name]):
                yield Finding(f"{where}.{one.name}", "it has bounds and is no number", "Remove them.")
            if low and high and max(low) > min(high):
                yield Finding(f"{where}.{one.name}", "nothing lies within its bounds", "Correct them.")
            if _is_number(one.default) and not values.inside(one.default, says):
                yield Finding(f"{where}.{one.name}", f"its default {one.default} is out of its own range")


def round_trips(exam: Examination) -> Iterator[Finding]:
    """A config written as plain values is read back as it was."""
    for one, config in _configs(exam):
        written = json.loads(json.dumps(plain(config)))
        wrong: list[str] = []
        report = _collect(wrong)
        again = reader(exam.plugins, report).read(written, resolve(one.config), "")  # type: ignore[arg-type]
        if wrong or again != config:
            what = f"written and read again it is another: {'; '.join(wrong) or again}"
            yield Finding(label(one), what, "Let __post_init__ check, and change nothing.")


def told(exam: Examination) -> Iterator[Finding]:
    """A wrong value is a problem that names its field, and never a traceback."""
    for one, config in _configs(exam):
        for place in values.places(config):
            if place.says.group:
                continue
            for value, refused in values.wrong(place):
                yield from _wrong(
                    exam, one, values.replaced(_open(config), place.path, value), (place, refused)
                )
        yield from _unknown(exam, one, config)


def counts(exam: Examination) -> Iterator[Finding]:
    """Another value of a field is another key, unless the field is marked output=False."""
    for one, config in _configs(exam):
        before = digest(content(config, str))
        for place in values.places(config):
            owners = [outer for outer in values.places(config) if place.path.startswith(f"{outer.path}.")]
            keyed = place.says.output and all(outer.says.output for outer in owners)
            for value in values.other(place):
                try:
                    changed = values.replaced(config, place.path, value)
                except (ValueError, TypeError):
                    continue  # its __post_init__ does not like the two together
                if (digest(content(changed, str)) != before) != keyed and value != place.says.neutral:
                    what = (
                        "another value leaves the key as it is"
                        if keyed
                        else "it changes the key all the same"
                    )
                    remedy = "Does __post_init__ drop it?" if keyed else "Does __post_init__ copy it?"
                    yield Finding(f"{label(one)}.{place.path}", what, remedy)
                break


def secrets_declared(exam: Examination) -> Iterator[Finding]:
    """A field that is called like a secret takes only a secret's name."""
    for where, cls in _classes(exam):
        hints = typing.get_type_hints(cls)
        for one in dataclasses.fields(cls):
            if (
                SECRET_NAMES.search(one.name)
                and str in _members(hints[one.name])
                and not declared(one).secret
            ):
                remedy = "Write setting(..., secret=True) and read it with run.secret(...)."
                yield Finding(f"{where}.{one.name}", "it looks like a secret and takes plain text", remedy)


def _wrong(
    exam: Examination, one: Implementation, node: Any, tried: tuple[values.Place, bool]
) -> Iterator[Finding]:
    place, refused = tried
    shown = repr(getattr_path(node, place.path))[:40]
    problems: list[str] = []
    try:
        read = reader(exam.plugins, _collect(problems)).read(node, resolve(one.config), "")  # type: ignore[arg-type]
        if read is not BAD:
            plain(read)
    except Exception as error:  # whatever the plugin's class raises is what is looked for
        what = f"the value {shown} ends in {type(error).__name__}: {str(error)[:80]}"
        yield Finding(
            f"{label(one)}.{place.path}", what, "Raise ValueError with a sentence in __post_init__."
        )
        return
    if refused and not problems:
        yield Finding(
            f"{label(one)}.{place.path}", f"the value {shown} is let through", "Check its type and range."
        )


def _unknown(exam: Examination, one: Implementation, config: Any) -> Iterator[Finding]:
    problems: list[str] = []
    node = {**_open(config), "no_such_field": 1}
    reader(exam.plugins, _collect(problems)).read(node, resolve(one.config), "")  # type: ignore[arg-type]
    if not problems:
        yield Finding(label(one), "an unknown field is let through")


def _open(config: Any) -> dict[str, Any]:
    """A config as plain values, which can be made wrong."""
    found: dict[str, Any] = plain(config)
    return found


def getattr_path(node: Any, path: str) -> Any:
    """What lies at a dotted path in plain values."""
    for name in path.split("."):
        node = node[name]
    return node


def _classes(exam: Examination) -> Iterator[tuple[str, Any]]:
    """Each config class of the plugin with those inside it, once."""
    if not exam.implementations:
        raise NothingToCheck("it offers no implementation")
    seen: set[Any] = set()
    for one in exam.implementations:
        try:
            cls: Any = resolve(one.config)
        except LlmopsError:
            continue  # contract: references names it
        yield from _nested(label(one), cls, seen)


def _nested(where: str, cls: Any, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    if cls in seen:
        return
    seen.add(cls)
    if not dataclasses.is_dataclass(cls):
        return
    yield where, cls
    for name, hint in typing.get_type_hints(cls).items():
        for inner in _members(hint):
            if isinstance(inner, type) and dataclasses.is_dataclass(inner) and inner is not Part:
                yield from _nested(f"{where}.{name}", inner, seen)


def _configs(exam: Examination) -> Iterator[tuple[Implementation, Any]]:
    """A config of each implementation: of its example, else of its defaults."""
    if not exam.implementations:
        raise NothingToCheck("it offers no implementation")
    for number, one in enumerate(exam.implementations):
        try:
            material = Material(exam.folder / f"config{number}")
            example = example_of(exam.plugins, one, material, exam.given)
            yield one, typed(exam.plugins, one, example.config)
        except Unfit as reason:
            raise NothingToCheck(f"{label(one)}: {reason} {examples_place(exam.plugins, one)}") from reason


def _members(hint: Any) -> set[Any]:
    inner = typing.get_args(hint)
    return {hint, *(member for one in inner for member in _members(one))} if inner else {hint}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _collect(into: list[str]) -> Any:
    return lambda path, what, remedy: into.append(f"{path}: {what}")


CHECKS = (
    Check("config", "documented", documented),
    Check("config", "typed", well_typed),
    Check("config", "ranged", ranged),
    Check("config", "round trip", round_trips),
    Check("config", "wrong values are told", told),
    Check("keys", "every field counts", counts),
    Check("secrets", "declared", secrets_declared),
)
