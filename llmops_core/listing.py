"""What the commands print: plans, problems, runs and releases as aligned text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmops_core import wording
from llmops_core.errors import Problem

if TYPE_CHECKING:
    from llmops_core.hookspecs import Estimate
    from llmops_core.manifest import Manifest
    from llmops_core.plan import Plan

GAP = "  "


def columns(rows: Sequence[Sequence[str]], indent: str = GAP) -> str:
    """Rows as left-aligned columns; the last one is as wide as it is."""
    if not rows:
        return ""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        indent + GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def problems(recipe: str, found: Sequence[Problem]) -> str:
    """Every problem with what to do and where it comes from."""
    rows = []
    for one in found:
        what = one.what if one.what.endswith((".", "?", "!")) else f"{one.what}."
        origin = f"({one.origin})" if one.origin else ""
        rows.append(
            (one.where or recipe, " ".join(text for text in (what, one.remedy.strip(), origin) if text))
        )
    return f"{wording.counted(len(found), 'problem')} in {recipe}\n\n{columns(rows)}"


def plan(found: Plan, store: Path) -> str:
    """One line a step: its action, why, and what it is expected to need."""
    counts = f"{found.count('reuse')} reused, {found.count('run')} to run"
    always = found.count("always")
    acts = f", {always} always act{'s' if always == 1 else ''}" if always else ""
    steps = wording.counted(len(found.steps), "step")
    head = f"{found.recipe.name} · {steps} · {counts}{acts} · {found.recipe.environment} · store {store}"
    rows = [(one.step.name, one.action, one.reason, needs(one.estimates)) for one in found.steps]
    return f"{head}\n\n{columns(rows)}\n{total(found)}"


def needs(estimates: Sequence[Estimate]) -> str:
    """ "~85 s, 2.1 GB memory"."""
    words = []
    for one in sorted(estimates, key=lambda one: one.what != "time"):
        if one.what == "time":
            words.append(f"~{wording.duration(one.value)}")
        elif one.value:
            words.append(f"{wording.size(one.value)} {one.what}")
    return ", ".join(words)


def total(found: Plan) -> str:
    """What the steps that run are expected to need together, and on what each number rests."""
    running = [one for one in found.steps if one.action != "reuse"]
    time = sum(one.value for step in running for one in step.estimates if one.what == "time")
    download = sum(one.value for step in running for one in step.estimates if one.what == "download")
    memory = max((one.value for step in running for one in step.estimates if one.what == "memory"), default=0)
    words = [
        f"~{wording.duration(time)}" if time else "",
        f"{wording.size(download)} to download{_forbidden()}" if download else "",
        f"{wording.size(memory)} of memory at most" if memory else "",
    ]
    said = ", ".join(word for word in words if word)
    bases = [
        (one.step.name, estimate.what, estimate.basis)
        for one in running
        for estimate in one.estimates
        if estimate.value
    ]
    return f"\nexpected: {said}\n{columns(bases)}" if said else ""


def _forbidden() -> str:
    from llmops_core.worker import offline

    return " (which LLMOPS_OFFLINE forbids)" if offline() else ""


def plan_document(found: Plan) -> dict[str, Any]:
    """A plan as JSON."""
    return {
        "recipe": found.recipe.name,
        "environment": found.recipe.environment,
        "steps": [
            {
                "name": one.step.name,
                "stage": one.step.stage,
                "use": one.step.implementation.name,
                "action": one.action,
                "reason": one.reason,
                "key": one.key,
                "output": one.output,
                "estimates": [dataclasses.asdict(estimate) for estimate in one.estimates],
            }
            for one in found.steps
        ],
    }


def runs(found: Sequence[Manifest]) -> str:
    """One line a run, newest first."""
    if not found:
        return "no runs yet"
    rows = []
    for run in found:
        document = run.document
        label = " ".join(
            [str(document.get("name") or ""), *(f"#{tag}" for tag in document.get("tags") or ())]
        )
        rows.append(
            (
                run.id,
                run.status,
                str(document.get("recipe", "")),
                wording.moment(str(document.get("started", ""))),
                wording.duration(document["seconds"]) if document.get("seconds") else "",
                label.strip(),
                " ".join(document.get("overrides") or ()),
            )
        )
    return columns(rows, "")


def run(found: Manifest) -> str:
    """A run with its steps, estimates beside actuals, and its error."""
    document = found.document
    started = wording.moment(str(document.get("started")))
    head = f"run {found.id} · {document.get('recipe')} · {found.status} · {started}"
    if document.get("overrides"):
        head += f"\noverrides: {' '.join(document['overrides'])}"
    steps = [
        {**step, "status": found.status}
        if found.status == "killed" and step.get("status") == "running"
        else step
        for step in document.get("steps", ())
    ]
    lines = [head, "", run_table({"steps": steps})]
    warnings = [text for step in document.get("steps", ()) for text in step.get("warnings", ())]
    lines += [f"  warning: {text}" for text in [*document.get("warnings", ()), *warnings]]
    if document.get("error"):
        error = document["error"]
        problem = Problem(*(str(error.get(part) or "") for part in ("where", "what", "remedy")))
        lines += ["", f"  {problem}"]
    report = found.folder / "report.html"
    if report.exists():
        lines += ["", f"report: {report}"]
    return "\n".join(lines)


def run_table(document: Mapping[str, Any]) -> str:
    """One line a step: what became of it, its result, and its time and memory beside the estimates."""
    rows = [
        (
            str(step.get("name")),
            str(step.get("status")),
            str(step.get("result") or wrong(step) or step.get("reason") or ""),
            compared(step),
        )
        for step in document.get("steps", ())
    ]
    return columns(rows)


def wrong(step: Mapping[str, Any]) -> str:
    """What failed in a step, in one line, after the place when that is not the step itself."""
    error = step.get("error") or {}
    place = "" if error.get("where") == step.get("name") else error.get("where")
    opening, *rest = str(error.get("what") or "").splitlines() or [""]
    told = (place, opening, "; ".join(line.strip() for line in rest))
    return ": ".join(text for text in told if text)


def compared(step: Mapping[str, Any]) -> str:
    """ "1 m 24 s (expected 1 m 25 s), 2.1 GB (expected 2.0 GB)"."""
    actual, estimate = step.get("actual") or {}, step.get("estimate") or {}
    words = []
    for what, show in (("time", wording.duration), ("memory", wording.size)):
        if actual.get(what):
            said = (estimate.get(what) or {}).get("value")
            words.append(show(actual[what]) + (f" (expected {show(said)})" if said else ""))
    return ", ".join(words)


def scores(values: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """Before and after, one line a score, with intervals."""
    rows = []
    for name, score in values.items():
        before = baseline.get(name)
        rows.append(
            (
                name,
                f"{_interval(before)} ->" if before else "",
                _interval(score),
            )
        )
    return columns(rows)


def _interval(score: Mapping[str, Any]) -> str:
    text = wording.score(score["value"])
    if score.get("low") is None or score.get("high") is None:
        return text
    return f"{text} ({wording.interval(score['low'], score['high'])})"
