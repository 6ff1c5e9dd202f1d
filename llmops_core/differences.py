"""What differs between two runs, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Scores
from llmops_core.errors import StoreError
from llmops_core.manifest import Manifest
from llmops_core.settings import UNSET


def differences(old: Manifest, new: Manifest) -> list[dict[str, Any]]:
    """Config values, packages, git commit, outputs and scores that are not the same."""
    rows = _changed("config", _flat(old.document.get("config", {})), _flat(new.document.get("config", {})))
    for what in ("packages", "machine", "git"):
        rows += _changed(what, old.document.get(what) or {}, new.document.get(what) or {})
    before, after = _steps(old), _steps(new)
    for name in [*after, *(name for name in before if name not in after)]:
        was, now = before.get(name), after.get(name)
        if was is None or now is None or was.get("output") != now.get("output"):
            rows.append(_row("output", name, _short(was), _short(now)))
    return rows + _scores(old, new)


def _steps(run: Manifest) -> dict[str, Mapping[str, Any]]:
    return {record["name"]: record for record in run.document.get("steps", ())}


def _changed(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = [*after, *(name for name in before if name not in after)]
    return [
        _row(what, name, before.get(name, UNSET), after.get(name, UNSET))
        for name in names
        if before.get(name, UNSET) != after.get(name, UNSET)
    ]


def _row(what: str, name: str, before: Any, after: Any) -> dict[str, Any]:
    def text(value: Any) -> str:
        return "unset" if value is UNSET else str(value)

    return {"what": what, "name": name, "change": f"{text(before)} -> {text(after)}"}


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(node, Mapping) or not node:
        return {path: node} if path else {}
    found: dict[str, Any] = {}
    for name, member in node.items():
        found |= _flat(member, f"{path}.{name}" if path else str(name))
    return found


def _short(record: Mapping[str, Any] | None) -> str:
    return wording.digest(str(record.get("output") or "nothing")) if record else "no such step"


def _scores(old: Manifest, new: Manifest) -> list[dict[str, Any]]:
    before = {name: wording.score(score["value"]) for name, score in _values(old).items()}
    after = {name: wording.score(score["value"]) for name, score in _values(new).items()}
    if not before or not after:
        return []  # one of them measured nothing: its outputs say so
    return _changed("score", before, after)


def _values(run: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in run.document.get("steps", ()):
        if record.get("stage") == "evaluate" and record.get("output"):
            try:
                artifact = run.artifact(record["output"])
            except StoreError:
                continue  # removed by gc: its outputs still differ by digest
            if isinstance(artifact, Scores):
                found |= dict(artifact.values)
    return found
