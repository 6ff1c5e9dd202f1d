"""Releases and what was live when, as rows for a person or a program."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Release
from llmops_core.errors import StoreError
from llmops_core.journal import Deployment, Journal, moment
from llmops_core.releases import all_releases, find
from llmops_core.store import Store


def journal(store: Store) -> Journal:
    """The store's journal; what it survived is told on standard error."""
    return Journal(store.root, lambda text: print(f"warning: {text}", file=sys.stderr))  # noqa: T201


def released(store: Store) -> list[dict[str, Any]]:
    """Every release with where it is live."""
    live = [one for one in journal(store).history() if one.live]
    return [
        {
            "release": one.name,
            "digest": wording.digest(one.digest),
            "made": wording.moment(one.made),
            "run": f"run {one.run}",
            "live": ", ".join(f"live in {here.environment}" for here in live if here.digest == one.digest),
        }
        for one in all_releases(store)
    ]


def describe(store: Store, name: str) -> list[dict[str, Any]]:
    """A release's model, gates and scores."""
    named = find(store, name)
    release = store.open(named.digest)
    if not isinstance(release, Release):
        raise StoreError(f"{name} is a {type(release).__name__}, not a release")
    rows = [
        ("release", f"{named.name} · {named.digest}"),
        ("made", f"{wording.moment(named.made)} by run {named.run}"),
        ("model", release.candidate.summary()),
    ]
    if release.candidate.base is not None:
        rows.append(("tuned from", release.candidate.base.summary()))
    for gate, result in release.gates.items():
        rows.append(
            (
                f"gate {gate}",
                ", ".join(f"{key} {value}" for key, value in result.items() if value is not None),
            )
        )
    for score, found in release.scores.values.items():
        before = release.scores.baseline.get(score)
        was = f"{wording.score(before['value'])} -> " if before else ""
        rows.append((score, f"{was}{wording.score(found['value'])}"))
    rows.append(("files", str(release.folder)))
    return [{"what": what, "value": value} for what, value in rows]


def history(store: Store, environment: str | None) -> list[dict[str, Any]]:
    """Every deployment, the newest first."""
    return [_row(one) for one in reversed(journal(store).history(environment))]


def live_at(store: Store, time: str, environment: str | None) -> list[dict[str, Any]]:
    """What was live at a time."""
    return [{**_row(one), **_scores(store, one)} for one in journal(store).live_at(moment(time), environment)]


def _row(one: Deployment) -> dict[str, Any]:
    end = _shown(one.end) if one.end else "now" if one.live else "?"
    return {
        "environment": one.environment,
        "release": one.release,
        "digest": wording.digest(one.digest),
        "live": f"{_shown(one.start)} -> {end}",
        "by": f"{one.action} by run {one.run}" if one.run else one.action,
        "reason": one.reason,
    }


def _scores(store: Store, one: Deployment) -> dict[str, str]:
    try:
        release = store.open(one.digest)
    except StoreError:
        return {"gates": "its artifact is gone"}
    if not isinstance(release, Release):
        return {"gates": ""}
    return {
        "gates": ", ".join(f"{name} {wording.score(gate['value'])}" for name, gate in release.gates.items())
    }


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
