"""A step's key: the digest of everything that can change its output."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmops_core.config import Step
from llmops_core.hookspecs import Implementation
from llmops_core.settings import UNSET, Declared, Part, declared

PathDigest = Callable[[str], str]
"""The digest of the content at a path."""


def canonical(value: Any) -> bytes:
    """One spelling for equal values: JSON with sorted names."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "backslashreplace"
    )


def digest(value: Any) -> str:
    """The sha256 of a JSON value, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def content(config: Any, path_digest: PathDigest) -> Any:
    """The part of a typed config that can change the output, as plain values.

    Left out: fields declared with output=False, and fields at their declared neutral value. A path
    counts by the content it leads to.
    """
    if isinstance(config, Part):
        inner = content(config.config, path_digest) if config.config is not None else {}
        return {"use": config.use, **inner}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return _fields(config, path_digest)
    if isinstance(config, Mapping):
        # in order: what is a mapping of names runs in that order
        return [[str(name), content(member, path_digest)] for name, member in config.items()]
    if isinstance(config, (list, tuple)):
        return [content(member, path_digest) for member in config]
    return config


def _fields(config: Any, path_digest: PathDigest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        says, value = declared(field), getattr(config, field.name)
        if not says.output or (says.neutral is not UNSET and value == says.neutral):
            continue
        placed = says.path or says.address
        found[field.name] = _placed(value, says, path_digest) if placed else content(value, path_digest)
    return found


def _placed(value: Any, says: Declared, path_digest: PathDigest) -> Any:
    """A path, or several, by the content it leads to; an address of another kind as it is."""
    if isinstance(value, (list, tuple)):
        return [_placed(one, says, path_digest) for one in value]
    if isinstance(value, str) and value and (says.path or value.startswith("file:")):
        return {"content": path_digest(value.removeprefix("file:"))}
    return content(value, path_digest)


def code_digest(reference: str) -> str:
    """The digest of the sources of the package that "package.module:function" lives in."""
    package = reference.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(package)
    if spec is None:
        return ""
    # a package without __init__.py has no origin, and may lie in several folders
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    files = [(file, folder) for folder in folders for file in sorted(folder.rglob("*.py"))]
    if not folders and spec.origin:
        files = [(Path(spec.origin), Path(spec.origin).parent)]
    found = hashlib.sha256()
    for file, folder in files:
        found.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


@dataclasses.dataclass
class KeyMaker:
    """Makes key documents; remembers the code digests of this process."""

    path_digest: PathDigest
    codes: dict[str, str] = dataclasses.field(default_factory=dict)

    def document(
        self, step: Step, implementations: Mapping[str, Implementation], seed: int, inputs: Mapping[str, str]
    ) -> dict[str, Any]:
        """Everything that decides a step's output. `implementations` maps the dotted path of the step
        and of each of its parts to what was chosen there; `inputs` slots to digests."""
        made_by = {}
        for path, one in implementations.items():
            place = path.removeprefix(step.name).lstrip(".")
            made_by[place] = {"use": one.name, "version": one.version, "code": self._code(one.target)}
        seeded = any(one.seeded for one in implementations.values())
        return {
            "stage": step.stage,
            "made_by": made_by,
            "config": content(step.config, self.path_digest),
            "seed": seed if seeded else None,
            "inputs": dict(inputs),
        }

    def _code(self, reference: str) -> str:
        package = reference.partition(":")[0].partition(".")[0]
        if package not in self.codes:
            self.codes[package] = code_digest(reference)
        return self.codes[package]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], step: str) -> list[str]:
    """What changed between two key documents of one step, a phrase each, for a person."""
    found = []
    before, after = _flat(old["config"]), _flat(new["config"])
    for name in [*after, *(name for name in before if name not in after)]:
        if before.get(name, UNSET) != after.get(name, UNSET):
            found.append(
                f"{step}.{name}: {_short(before.get(name, UNSET))} -> {_short(after.get(name, UNSET))}"
            )
    if not found and old["config"] != new["config"]:
        found += [f"the order of {place} changed" for place in _reordered(old["config"], new["config"], step)]
    if old["seed"] != new["seed"]:
        found.append(f"seed: {old['seed']} -> {new['seed']}")
    for slot in sorted({*old["inputs"], *new["inputs"]}):
        if old["inputs"].get(slot) != new["inputs"].get(slot):
            found.append(f"input {slot} changed")
    found += _made_by(old["made_by"], new["made_by"], step)
    return found


def _made_by(old: Mapping[str, Any], new: Mapping[str, Any], step: str) -> list[str]:
    found: list[str] = []
    for place in [*new, *(place for place in old if place not in new)]:
        was, now = old.get(place), new.get(place)
        name = f"{step}.{place}" if place else step
        if was is None or now is None or was["use"] != now["use"]:
            found.append(f"{name}: {was['use'] if was else 'nothing'} -> {now['use'] if now else 'nothing'}")
        elif was["version"] != now["version"]:
            found.append(f"version of {now['use']}: {was['version']} -> {now['version']}")
        elif was["code"] != now["code"]:
            found.append(f"code of {now['use']} changed")
    return list(dict.fromkeys(found))


def _reordered(old: Any, new: Any, path: str) -> list[str]:
    """Where two configs with the same members differ in their order."""
    before, after = _members(old), _members(new)
    own = [path] if isinstance(new, list) and [*before] != [*after] else []
    pairs = ((name, before[name], after[name]) for name in after if name in before)
    return own + [place for name, was, now in pairs for place in _reordered(was, now, f"{path}.{name}")]


def _members(node: Any) -> dict[str, Any]:
    if isinstance(node, Mapping):
        return dict(node)
    if isinstance(node, list) and all(isinstance(one, list) and len(one) == 2 for one in node):
        return {str(name): member for name, member in node}
    return {}


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    if isinstance(node, Mapping) and set(node) == {"content"} and isinstance(node["content"], str):
        return {path: f"content {node['content'][:8]}"}
    if isinstance(node, Mapping):
        members = dict(node)
    elif not (members := _members(node)):
        return {path: node} if path and node != [] else {}
    found: dict[str, Any] = {}
    for name, member in members.items():
        if name != "use":
            found |= _flat(member, f"{path}.{name}" if path else str(name))
    return found


def _short(value: Any) -> str:
    if value is UNSET:
        return "unset"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
