"""Runs every check on a plugin and tells what came of it, as a table or as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from llmops_core.listing import columns
from llmops_core.testing import config_checks, contract_checks, run_checks
from llmops_core.testing.examination import Examination
from llmops_core.testing.findings import FAMILIES, Check, Finding, NothingToCheck, Verdict

CHECKS: tuple[Check, ...] = (*contract_checks.CHECKS, *config_checks.CHECKS, *run_checks.CHECKS)


def verdict(check: Check, exam: Examination) -> Verdict:
    """What one check says."""
    try:
        findings = tuple(dict.fromkeys(check.look(exam)))
    except NothingToCheck as reason:
        return Verdict(check.family, check.name, "skipped", note=str(reason))
    except Exception as error:  # the plugin's own code, or ours, in a state no check foresaw
        where = ", ".join(str(point) for point in dict.fromkeys(exam.points))
        findings = (Finding(where, f"the check ended in {type(error).__name__}: {error}"),)
    return Verdict(check.family, check.name, "failed" if findings else "passed", findings)


def verdicts(exam: Examination) -> list[Verdict]:
    """What every check says, in the order they are shown."""
    found = [verdict(check, exam) for check in CHECKS]
    return sorted(found, key=lambda one: FAMILIES.index(one.family))


def table(exam: Examination, found: Sequence[Verdict]) -> str:
    """A line of counts, and a line for each thing that is wrong."""
    head = " · ".join([" and ".join(dict.fromkeys(str(point) for point in exam.points)), *_offered(exam)])
    words = [_count(family, found) for family in FAMILIES if family != "import"]
    lines = [head, f"  {' · '.join([*filter(None, words), _import(exam, found)])}"]
    rows = [(f"{one.family}: {one.name}", str(finding)) for one in found for finding in one.findings]
    if rows:
        lines += ["", columns(rows)]
    return "\n".join(lines)


def document(exam: Examination, found: Sequence[Verdict]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "plugins": [dataclasses.asdict(point) for point in exam.points],
        "import_ms": {point.name: exam.light(point).get("ms") for point in exam.points},
        "passed": passed(found),
        "checks": [dataclasses.asdict(one) for one in found],
    }


def passed(found: Sequence[Verdict]) -> bool:
    """Whether nothing failed."""
    return all(one.status != "failed" for one in found)


def _offered(exam: Examination) -> list[str]:
    try:
        groups: dict[str, list[str]] = {}
        for one in exam.implementations:
            groups.setdefault(one.group, []).append(one.name)
    except NothingToCheck:
        return []
    return [f"{group}: {', '.join(names)}" for group, names in groups.items()]


def _count(family: str, found: Sequence[Verdict]) -> str:
    ours = [one for one in found if one.family == family and one.status != "skipped"]
    good = sum(one.status == "passed" for one in ours)
    return f"{family} {good}/{len(ours)}" if ours else ""


def _import(exam: Examination, found: Sequence[Verdict]) -> str:
    times = [ms for point in exam.points if (ms := exam.light(point).get("ms")) is not None]
    shown = f"import {max(times):.0f} ms" if times else "import -"
    failed = any(one.family == "import" and one.status == "failed" for one in found)
    return f"{shown} (too heavy)" if failed else shown
