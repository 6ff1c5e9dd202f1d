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
    for record in new.document.get("steps", ()):
        before = next((one for one in old.document.get("steps", ()) if one["name"] == record["name"]), None)
        if before is None or before.get("output") != record.get("output"):
            rows.append(_row("output", record["name"], _short(before), _short(record)))
    return rows + _scores(old, new)


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
    before, after = _values(old), _values(new)
    return [
        _row("score", name, wording.score(before[name]["value"]), wording.score(score["value"]))
        for name, score in after.items()
        if name in before and before[name]["value"] != score["value"]
    ]


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
