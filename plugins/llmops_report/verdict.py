"""How a run came out, in one line and what to do about it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmops_core import wording
from llmops_core.artifacts import Release
from llmops_report import reading
from llmops_report.facts import Facts, Gate, errors, gates, of_kind, steps_of

RELEASE_NAME = re.compile(r"\br-\d+\b")


@dataclass(frozen=True)
class Verdict:
    """`status` is the run's, or "unknown"; the rest are sentences for a person."""

    status: str
    headline: str
    detail: str = ""
    remedy: str = ""
    command: str = ""
    """What to type next, if something is to be typed."""


def verdict(facts: Facts) -> Verdict:
    """How the run came out."""
    status = reading.text(facts.document, "status")
    tell = {"done": _done, "refused": _refused, "failed": _failed, "interrupted": _interrupted}.get(status)
    if tell:
        return tell(facts)
    if status == "running":
        return Verdict("running", "Still running when this was written", _so_far(facts))
    return Verdict("unknown", "How this run ended is not recorded", _so_far(facts))


def _done(facts: Facts) -> Verdict:
    judged = gates(facts)
    passed = sum(gate.passed for gate in judged)
    told = f"{passed} of {wording.counted(len(judged), 'gate')} passed: " + _told(judged) if judged else ""
    names = [_release_name(facts, name, release) for name, release in of_kind(facts, Release)]
    if names:
        return Verdict("done", f"Released {', '.join(names)}", told)
    return Verdict("done", "Done, with nothing to release", told or _so_far(facts))


def _release_name(facts: Facts, name: str, release: Release) -> str:
    for step in steps_of(facts, "release"):
        found = RELEASE_NAME.search(reading.text(step, "result"))
        if reading.text(step, "name") == name and found:
            return found.group()
    return wording.digest(release.digest)


def _refused(facts: Facts) -> Verdict:
    judged = gates(facts)
    missed = [gate for gate in judged if not gate.passed]
    if not missed:
        return _with_error(facts, "refused", "Refused by a gate")
    headline = "Refused by " + _listed([gate.score for gate in missed])
    rest = [gate for gate in judged if gate.passed]
    detail = _told(missed) + (f" Passed: {_told(rest)}" if rest else "") + " Nothing was released."
    return Verdict("refused", headline, detail, _remedy(facts))


def _failed(facts: Facts) -> Verdict:
    where = [reading.text(step, "name") for step in facts.steps if reading.text(step, "status") == "failed"]
    return _with_error(facts, "failed", f"Failed in {_listed(where)}" if where else "Failed")


def _interrupted(facts: Facts) -> Verdict:
    stopped = ("interrupted", "running")
    where = [reading.text(step, "name") for step in facts.steps if reading.text(step, "status") in stopped]
    headline = f"Interrupted in {_listed(where)}" if where else "Interrupted"
    detail = f"{_so_far(facts)} Running it again goes on where it stopped:"
    return Verdict("interrupted", headline, detail, command=command(facts.document))


def _with_error(facts: Facts, status: str, headline: str) -> Verdict:
    for _, error in errors(facts):
        return Verdict(status, headline, sentence(error), reading.text(error, "remedy"))
    return Verdict(status, headline, "The reason is not recorded.")


def _remedy(facts: Facts) -> str:
    return next((reading.text(error, "remedy") for _, error in errors(facts)), "")


def sentence(error: Mapping[str, Any]) -> str:
    """Where and what, as one sentence."""
    where, what = reading.text(error, "where"), reading.text(error, "what")
    told = f"{where}: {what}" if where and what else where or what or "no reason was recorded"
    return told if told.endswith((".", "?", "!")) else told + "."


def command(document: Mapping[str, Any]) -> str:
    """The command line that runs this again."""
    name = reading.text(document, "id")
    return shlex.join(["llmops", "run", "--from", name]) if name else ""


def _told(judged: Sequence[Gate]) -> str:
    return "; ".join(_gate_told(gate) for gate in judged) + "."


def _gate_told(gate: Gate) -> str:
    if gate.value is None:
        return f"{gate.score} was not measured (it may be {gate.rule})"
    missed = f", missed by {wording.score(gate.missed_by)}" if gate.missed_by else ""
    return f"{gate.score} is {gate.shown_value} ({gate.rule}{missed})"


def _so_far(facts: Facts) -> str:
    total = len(facts.steps)
    over = sum(reading.text(step, "status") in ("done", "reused") for step in facts.steps)
    return f"{over} of {wording.counted(total, 'step')} done." if total else "It has no steps."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
