"""What a plugin does when it runs: whole, repeatable, unharmed by a kill, within its inputs, and silent."""

from __future__ import annotations

import base64
import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from llmops_core.hookspecs import Implementation
from llmops_core.stages import BY_NAME
from llmops_core.testing import values
from llmops_core.testing.attempts import CANARY, SEED, Attempt
from llmops_core.testing.contract_checks import label
from llmops_core.testing.examination import Examination, Tried
from llmops_core.testing.examples import Unfit
from llmops_core.testing.findings import Check, Finding, NothingToCheck

MOST_FIELDS = 6
"""Fields that are varied one by one when all of them together changed the output."""
NOT_KILLED = "only whole steps are killed, and none that acts on the live world"


def runs(exam: Examination) -> Iterator[Finding]:
    """It runs on small inputs and comes back."""
    for one in _some(exam):
        try:
            first = exam.tried(one).first
        except Unfit as reason:
            if not reason.meant:
                yield Finding(label(one), str(reason), reason.remedy)
            continue
        if first.error and "gave" not in first.report:
            yield Finding(
                label(one), f"it did not run: {first.error}", "Or give it an example it can run on."
            )


def kind(exam: Examination) -> Iterator[Finding]:
    """It gives the artifact that its stage gives."""
    for one, tried in _tried(exam, whole=False):
        wanted = BY_NAME[tried.trial.step.stage].gives
        gave = tried.first.report.get("gave", wanted)
        if gave != wanted:
            yield Finding(
                label(one), f"it gave a {gave}, not a {wanted}", f"Return a {wanted} of run.folder."
            )


def whole(exam: Examination) -> Iterator[Finding]:
    """What it gives can be stored, lasts, and is whole."""
    for one, tried in _tried(exam, whole=False):
        wanted = BY_NAME[tried.trial.step.stage].gives
        if tried.first.error and tried.first.report.get("gave") == wanted:
            yield Finding(label(one), f"what it gave could not be kept: {tried.first.error}")
        elif wrong := _damage(tried).get(tried.first.digest):
            yield Finding(label(one), f"what it gave is not whole: {wrong[0]}")


def gentle(exam: Examination) -> Iterator[Finding]:
    """It leaves its config and its inputs as they were."""
    for one, tried in _tried(exam):
        if tried.first.report.get("config_changed"):
            yield Finding(label(one), "it changes its config while it runs", "Copy what you change.")
        damage = _damage(tried)
        for slot, artifact in tried.trial.inputs.items():
            if wrong := damage.get(artifact.digest):
                yield Finding(
                    label(one), f"it changes its input {slot}: {wrong[0]}", "Write into run.folder."
                )


def silent(exam: Examination) -> Iterator[Finding]:
    """It writes nothing to standard output, where commands print JSON for programs."""
    for one, tried in _tried(exam):
        if tried.first.stdout:
            what = f"it writes to standard output: {tried.first.stdout[:60]!r}"
            yield Finding(label(one), what, "Tell with run.log, run.progress or run.metric.")


def inside(exam: Examination) -> Iterator[Finding]:
    """It reads its inputs and nothing else of this machine or of others."""
    for one, tried in _tried(exam):
        for path in tried.first.report.get("read", ()):
            remedy = "Declare a field with path=True, or take it from an input."
            yield Finding(label(one), f"it reads {path}, which is none of its inputs", remedy)
        if not tried.trial.example.network:
            for host in tried.first.report.get("reached", ()):
                yield Finding(label(one), f"it reaches {host}", "Bring things with run.fetch.")


def elsewhere(exam: Examination) -> Iterator[Finding]:
    """It runs in another process from the step's JSON alone."""
    yield from _differing(exam, "elsewhere")


def same(exam: Examination) -> Iterator[Finding]:
    """The same config and inputs give the same digest in another process and another folder."""
    yield from _differing(exam, "same")


def seed(exam: Examination) -> Iterator[Finding]:
    """What says seeded=False does not depend on the seed."""
    yield from _differing(exam, "seed")


def unkeyed(exam: Examination) -> Iterator[Finding]:
    """Fields marked output=False do not change the output."""
    yield from _differing(exam, "unkeyed")


def nothing_half_made(exam: Examination) -> Iterator[Finding]:
    """A kill in the middle leaves nothing that a later run would trust."""
    count = 0
    for one, tried in _tried(exam):
        if tried.killed is None:
            continue
        count += 1
        if tried.killed.digest:
            raise NothingToCheck(f"{label(one)} was over before it could be killed")
        if tried.killed.status is None:
            yield Finding(label(one), tried.killed.error)
        for name in tried.left:
            yield Finding(label(one), f"killed in the middle, it left the artifact {name[:12]} in the store")
    if not count:
        raise NothingToCheck(NOT_KILLED)


def goes_on(exam: Examination) -> Iterator[Finding]:
    """Run again after a kill, it ends."""
    _killed(exam)
    yield from _differing(exam, "goes on")


def same_in_the_end(exam: Examination) -> Iterator[Finding]:
    """Run again after a kill, it gives what it would have given."""
    _killed(exam)
    yield from _differing(exam, "in the end")


def no_leak(exam: Examination) -> Iterator[Finding]:
    """No secret turns up in what it wrote, gave or told."""
    spellings = _spellings()
    for one, tried in _tried(exam, whole=False):
        for attempt in (tried.first, tried.killed, tried.again):
            if attempt and any(text.decode() in attempt.stdout + attempt.stderr for text in spellings):
                yield Finding(label(one), "a secret turns up in what it prints", "Print no secret.")
        for trial in (tried.trial, tried.second):
            for path in _files(trial.material.folder):
                if any(text in path.read_bytes() for text in spellings):
                    remedy = "Keep secrets out of files and artifacts."
                    yield Finding(label(one), f"a secret turns up in the file {path.name}", remedy)


def releases(exam: Examination) -> Iterator[Finding]:
    """Its undo, called from another process, twice, leaves nothing behind."""
    found = [(one, tried) for one, tried in _tried(exam) if BY_NAME[tried.trial.step.stage].live]
    if not found:
        raise NothingToCheck("nothing it makes is live")
    for one, tried in found:
        if tried.undone is not None and tried.undone.status != 0:
            yield Finding(label(one), f"its undo failed: {_undo_error(tried.undone)}")
        if tried.remains:
            remedy = "Give `undo`: it stops what artifact.process names."
            yield Finding(label(one), f"after its undo, {tried.remains}", remedy)
        elif _answers(str(tried.first.report.get("url", ""))):
            yield Finding(label(one), f"after its undo, {tried.first.report['url']} still answers")


def _killed(exam: Examination) -> None:
    if not any(tried.killed for _, tried in _tried(exam)):
        raise NothingToCheck(NOT_KILLED)


def _some(exam: Examination) -> list[Implementation]:
    if not exam.implementations:
        raise NothingToCheck("it offers no implementation")
    if not exam.runs:
        raise NothingToCheck("nothing was run")
    steps = [one for one in exam.implementations if one.group.partition("/")[0] in BY_NAME]
    if not steps:
        raise NothingToCheck("it offers no step")
    return steps


def _tried(exam: Examination, *, whole: bool = True) -> Iterator[tuple[Implementation, Tried]]:
    """What was tried, without what could not be (the check `runs` names it)."""
    count = 0
    for one in _some(exam):
        try:
            tried = exam.tried(one)
        except Unfit:
            continue
        if tried.first.digest or not whole:
            count += 1
            yield one, tried
    if not count:
        raise NothingToCheck("it did not run")


def _differing(exam: Examination, cause: str) -> Iterator[Finding]:
    for one, tried in _tried(exam):
        if BY_NAME[tried.trial.step.stage].live:
            raise NothingToCheck("what acts on the live world is not repeated")
        found = _cause(exam, one, tried)
        if cause in found:
            yield Finding(label(one), *found[cause])


def _cause(exam: Examination, one: Implementation, tried: Tried) -> dict[str, tuple[str, str]]:
    """Why the run after the kill gave another output: found by changing one thing at a time."""
    if tried.again is None or tried.again.digest == tried.first.digest:
        return {}
    known = exam.causes.get(label(one))
    if known is None:
        known = exam.causes[label(one)] = _search(exam, one, tried, tried.again)
    return known


def _search(
    exam: Examination, one: Implementation, tried: Tried, again: Attempt
) -> dict[str, tuple[str, str]]:
    fresh = _once_more(exam, one)
    if fresh.error:
        return {
            "elsewhere": (f"in another process: {fresh.error}", "Depend on config, inputs and run alone.")
        }
    if fresh.digest != tried.first.digest:
        what = "the same config and inputs gave another output in another process"
        remedy = "Look for set order, hash(), times, paths, unseeded random numbers, threads."
        return {"same": (what, remedy)}
    if not exam.seeded(tried.trial) and _once_more(exam, one, seed=SEED + 1).digest != tried.first.digest:
        return {
            "seed": ("another seed gave another output, yet it says seeded=False", "Remove seeded=False.")
        }
    if found := _guilty(exam, one, tried):
        what = f"{found[0]} is marked output=False, and another value {found[1]}"
        return {"unkeyed": (what, "Remove output=False, or let it change nothing.")}
    if again.error:
        return {
            "goes on": (f"killed and run again: {again.error}", "What run.scratch holds may be half-written.")
        }
    remedy = "Write to run.scratch by rename, and go on from whole files only."
    return {"in the end": ("killed and run again, it gave another output", remedy)}


def _guilty(exam: Examination, one: Implementation, tried: Tried) -> tuple[str, str] | None:
    """The field marked output=False whose other value changes the output, and how it does; else None."""
    config, fixed = tried.trial.step.config, tuple(tried.trial.example.fixed)
    if _effect(_once_more(exam, one, keep=fixed), tried) is None:
        return None  # all of them at once change nothing
    paths = [place.path for place in values.places(config)]
    varied = [path for path in paths if values.varied(config, _but(paths, path, fixed)) != config]
    for path in varied[:MOST_FIELDS]:
        effect = _effect(_once_more(exam, one, keep=_but(paths, path, fixed)), tried)
        if effect is not None:
            return path, effect
    return " and ".join(varied), "of all of them together changes the output"


def _but(paths: list[str], path: str, fixed: tuple[str, ...]) -> tuple[str, ...]:
    return (*(other for other in paths if other != path), *fixed)


def _effect(attempt: Attempt, tried: Tried) -> str | None:
    if attempt.error:
        return f"fails: {attempt.error}"
    return "changes the output" if attempt.digest != tried.first.digest else None


def _once_more(
    exam: Examination, one: Implementation, *, seed: int = SEED, keep: tuple[str, ...] | None = None
) -> Attempt:
    trial, attempts = exam.trial(one, "more"), exam.attempts()
    config = None if keep is None else values.varied(trial.step.config, keep)
    return attempts.elsewhere(trial, attempts.request(trial, seed=seed, config=config))


def _damage(tried: Tried) -> dict[str, list[str]]:
    return {digest: wrong for digest, wrong in tried.trial.material.store.verify() if wrong}


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _spellings() -> list[bytes]:
    raw = CANARY.encode()
    return [raw, base64.b64encode(raw)[:-4], raw.hex().encode(), quote(CANARY, safe="").encode()]


def _undo_error(attempt: Attempt) -> str:
    return dataclasses.replace(attempt, report={**attempt.report, "digest": ""}).error


def _answers(url: str) -> bool:
    place = urlsplit(url)
    if not place.hostname or not place.port:
        return False
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex((place.hostname, place.port)) == 0


CHECKS = (
    Check("run", "runs", runs),
    Check("run", "right artifact", kind),
    Check("run", "whole output", whole),
    Check("run", "config and inputs untouched", gentle),
    Check("run", "silent", silent),
    Check("run", "reads only its inputs", inside),
    Check("run", "in another process", elsewhere),
    Check("keys", "same inputs, same digest", same),
    Check("keys", "the seed", seed),
    Check("keys", "output=False is true", unkeyed),
    Check("crash", "nothing half-made", nothing_half_made),
    Check("crash", "goes on", goes_on),
    Check("crash", "same in the end", same_in_the_end),
    Check("secrets", "no leak", no_leak),
    Check("live", "undo releases", releases),
)
