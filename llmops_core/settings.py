"""How a plugin declares its configuration: dataclasses whose fields carry docs, units and ranges.

    @dataclass(frozen=True)
    class LightningTrain:
        lr: float = setting(2e-4, doc="Peak learning rate.", above=0)
        tuning: Part = part("train/tuning", "lora", doc="Which weights learn.")

The checker, the JSON Schema and the reference pages read these declarations. Field types are bool,
int, float, str, Literal, `T | None`, Sequence[T] (given as a tuple), Mapping[str, T], another such
dataclass, Part and Mapping[str, Part].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Unset:
    """Tells "no value" from None; `UNSET` is its only use."""

    def __bool__(self) -> bool:
        return False


UNSET: Any = Unset()


@dataclass(frozen=True)
class Part:
    """A sub-choice of a step: the implementation chosen for `group`, and its own configuration.

    `run.load(part)` gives the implementation's function.
    """

    group: str
    use: str
    config: Any = None


@dataclass(frozen=True)
class Declared:
    """What a field says of itself beside its name, type and default."""

    doc: str
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    output: bool = True
    """False: this field cannot change what the step makes, so it stays out of the key."""
    neutral: Any = UNSET
    """For a field added later: at this value it stays out of the key, so old outputs remain valid."""
    path: bool = False
    """A file or folder that must exist; the key covers its content, not its place."""
    address: bool = False
    """An address (pypi://, hf://, file:, s3://); the key covers a file's content, else the text."""
    secret: bool = False
    """Takes only a secret's name, written ${secret:NAME}."""
    group: str = ""
    """For Part and Mapping[str, Part]: the group of implementations to choose from."""


def setting(
    default: Any = UNSET, *, factory: Callable[[], Any] | None = None, doc: str, **declared: Any
) -> Any:
    """A field of a configuration. Without default or factory a value is required.

    `declared` takes the names of `Declared`: unit, at_least, at_most, above, below, output, neutral,
    path, address, secret.
    """
    metadata = {"llmops": Declared(doc=doc, **declared)}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    if default is UNSET:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def part(group: str, use: str | None = None, *, doc: str, **declared: Any) -> Any:
    """A sub-choice among the implementations of `group`, `use` by default (None: required)."""
    default = UNSET if use is None else Part(group, use)
    return setting(default, doc=doc, group=group, **declared)


def parts(group: str, *, doc: str, **declared: Any) -> Any:
    """Named sub-choices in the recipe's order. A member's `use` is its name by default."""
    empty: Callable[[], Mapping[str, Part]] = dict
    return setting(factory=empty, doc=doc, group=group, **declared)


def declared(field: dataclasses.Field[Any]) -> Declared:
    """What `field` declares; raises TypeError when it was not made by `setting`."""
    found = field.metadata.get("llmops")
    if not isinstance(found, Declared):
        raise TypeError(f"field {field.name} is not declared with llmops_core.settings.setting(...)")
    return found
