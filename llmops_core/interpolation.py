"""A composed config -> plain values: every ${...} resolved one by one, so that every broken one is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from llmops_core.errors import Problem
from llmops_core.secret_names import looks_secret
from llmops_core.typed import BAD, MISSING

CIRCLES = ("recursi", "interpolation to parent node")
"""What OmegaConf's errors say when a value leads back to itself."""
Node = DictConfig | ListConfig


class SecretValueError(Exception):
    """A ${oc.env:...} that would bring a secret's value into the config."""


class CircularError(Exception):
    """A node that stands inside itself."""


def _environment_value(key: str, *default: str | None) -> Any:
    if looks_secret(key):
        raise SecretValueError(key)
    return os.environ.get(key, *default) if default else oc.env(key)


@contextmanager
def resolvers() -> Iterator[None]:
    """For the time of the block: ${secret:NAME} stays as it is, and ${oc.env:...} refuses secrets."""
    OmegaConf.register_new_resolver("secret", lambda name: f"${{secret:{name}}}", replace=True)
    OmegaConf.register_new_resolver("oc.env", _environment_value, replace=True)
    try:
        yield
    finally:
        OmegaConf.clear_resolver("secret")
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


@dataclass(frozen=True)
class Resolving:
    """Turns one config into plain values, a broken member into BAD."""

    problems: list[Problem]
    origin: Callable[[str], str]

    def values(self, node: Node, path: str = "", inside: tuple[int, ...] = ()) -> Any:
        """The plain values of a mapping or list at a dotted path; `inside` are the nodes around it."""
        if id(node) in inside:
            raise CircularError
        keys: Any = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
        found: dict[Any, Any] = {}
        for key in keys:
            where = f"{path}.{key!s}" if path else str(key)
            try:
                found[key] = self._member(node, key, where, (*inside, id(node)))
            except CircularError:
                if not OmegaConf.is_interpolation(node, key):
                    raise  # told where the ${...} that leads back stands
                found[key] = self._broken(where, "this interpolation refers to itself")
            except (OmegaConfBaseException, RecursionError, ValueError, TypeError) as error:
                found[key] = self._refused(where, error)
        return found if isinstance(node, DictConfig) else list(found.values())

    def _member(self, node: Node, key: Any, where: str, inside: tuple[int, ...]) -> Any:
        if OmegaConf.is_missing(node, key):
            return MISSING
        value = node[key]
        return self.values(value, where, inside) if isinstance(value, (DictConfig, ListConfig)) else value

    def _refused(self, where: str, error: Exception) -> Any:
        if (name := _secret_in(error)) is not None:
            what = f"{name} looks like a secret and would be written down"
            return self._broken(where, what, f"Write ${{secret:{name}}} instead.")
        if isinstance(error, RecursionError) or any(word in str(error).lower() for word in CIRCLES):
            return self._broken(where, "this interpolation refers to itself")
        lines = str(error).strip().splitlines()
        what = lines[0] if lines else type(error).__name__
        return self._broken(where, f"this interpolation is broken: {what}")

    def _broken(self, where: str, what: str, remedy: str = "Correct the ${...} there.") -> Any:
        self.problems.append(Problem(where, what, remedy, self.origin(where)))
        return BAD


def _secret_in(error: BaseException | None) -> str | None:
    """The name of the secret whose value an error's origin refused to bring in."""
    while error is not None:
        if isinstance(error, SecretValueError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None
