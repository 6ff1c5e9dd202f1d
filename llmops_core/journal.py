"""The deployment journal: which release was live where, from when to when, and by which run.

An append-only file of JSON lines in the store's root. One line tells that a release went live, another that
it stopped. Every line carries a format version, and is written at once, under a file lock, and synced, so a
kill leaves at most one line without its newline. Such a line was never acknowledged: readers tell of it and
pass over it, and the next writer marks it as torn.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from llmops_core.errors import LockedError, StoreError, UsageError
from llmops_core.processes import is_gone, process_mark

FORMAT = 1
FILE = "deployments.jsonl"
PROCESS_GONE = "unknown, process gone"

Action = Literal["deploy", "rollback", "serve"]
_NOT_YET = datetime.max.replace(tzinfo=UTC)
Record = dict[str, Any]  # a line as JSON gives it; `_event` checks what it holds


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A release that was, or is, live in an environment.

    `how` holds what is needed to do it again: {"step": the deploy step as JSON}. `end` is None while it is
    live, and also when its process is gone without a word: `reason` then says `PROCESS_GONE`, and the end
    lies somewhere between `start` and now.
    """

    environment: str
    release: str
    digest: str
    run: str
    action: Action = "deploy"
    process: int = 0
    """The process that serves it on this machine; 0 when there is none to watch."""
    url: str = ""
    how: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    mark: str = ""
    """Tells the process from a later one with the same number."""
    start: datetime = _NOT_YET
    end: datetime | None = None
    reason: str = ""

    @property
    def live(self) -> bool:
        """Whether it serves, as far as the journal and the process table know."""
        return self.end is None and not self.reason


def moment(text: str) -> datetime:
    """The moment an ISO 8601 text names; without an offset it is UTC. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        remedy = "Write it like 2026-11-20T09:00 (UTC) or 2026-11-20T09:00+01:00."
        raise UsageError(f"{text!r} is not a time", remedy=remedy) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=4)


@dataclass(frozen=True)
class Journal:
    """The journal of the store at `root`. `tell` is given a line for a person when something was survived."""

    root: Path
    tell: Callable[[str], None] = _warn

    @property
    def path(self) -> Path:
        """Where the lines lie."""
        return self.root / FILE

    def went_live(self, deployment: Deployment, at: datetime | None = None) -> Deployment:
        """Record that `deployment` is live from `at` (now), and that what was live there before no longer is.

        `id`, `mark`, `start`, `end` and `reason` are filled in. A start before the environment's latest
        event is moved up to it: clocks may step back, a history may not. Raises StoreError.
        """
        with self._appending() as (events, append):
            mine = [past for past in _merge(events) if past.environment == deployment.environment]
            start = max([_aware(at), *(past.end or past.start for past in mine)])
            started = dataclasses.replace(
                deployment,
                id=uuid.uuid4().hex[:12],
                mark=process_mark(deployment.process),
                start=start,
                end=None,
                reason="",
            )
            ends = [
                _end_line(past.id, start, past.reason or f"replaced by {deployment.release}")
                for past in mine
                if past.end is None
            ]
            append([*ends, _live_line(started)])
        return started

    def ended(self, id: str, reason: str, at: datetime | None = None) -> Deployment:
        """Record that deployment `id` stopped being live at `at` (now).

        One that had ended already keeps the end it has. Raises UsageError for an id that is not there.
        """
        with self._appending() as (events, append):
            found = next((past for past in _merge(events) if past.id == id), None)
            if found is None:
                raise UsageError(f"no deployment {id}", where=str(self.path))
            if found.end is not None:
                return found
            end = max(_aware(at), found.start)
            append([_end_line(id, end, reason)])
        return dataclasses.replace(found, end=end, reason=reason)

    def history(self, environment: str | None = None) -> tuple[Deployment, ...]:
        """Every deployment, the oldest first. Raises StoreError for a newer or damaged journal."""
        past = _merge(self._read())
        return tuple(one for one in past if environment is None or one.environment == environment)

    def live_at(self, time: datetime, environment: str | None = None) -> tuple[Deployment, ...]:
        """What was live at `time`: at most one deployment an environment.

        One whose process is gone without a word counts from its start until now, when it is known to be
        gone; its `reason` says that its end is not known.
        """
        asked, now = _aware(time), datetime.now(UTC)
        return tuple(
            one
            for one in self.history(environment)
            if one.start <= asked and (one.live or asked < (one.end or now))
        )

    def current(self, environment: str) -> Deployment | None:
        """What is live in `environment` now."""
        return next((one for one in reversed(self.history(environment)) if one.live), None)

    def previous(self, environment: str) -> Deployment | None:
        """What a rollback puts back: the last release before the current one with another digest.

        "Current" is the latest deployment, ended or not. One that was itself put back stands where it first
        stood, so that rolling back twice goes two releases back and never to the one just taken out.
        """
        past = list(self.history(environment))
        while past:
            latest = past.pop()
            if latest.action == "rollback" and any(one.digest == latest.digest for one in past):
                while past[-1].digest != latest.digest:
                    past.pop()
                continue
            return next((one for one in reversed(past) if one.digest != latest.digest), None)
        return None

    @contextmanager
    def lock(self, environment: str, who: str) -> Iterator[None]:
        """Hold `environment` against everyone else on this store; `who` ("run 7") is what they are told.

        It is given back when this process ends, however it ends. Raises LockedError.
        """
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"environment-{quote(environment, safe='')}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace") or "another process"
                raise LockedError(
                    f"environment {environment} is held by {holder}",
                    remedy="Wait until it has finished, or stop it.",
                ) from None
            os.ftruncate(descriptor, 0)
            since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            os.pwrite(descriptor, f"{who} (process {os.getpid()}, since {since})".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> list[Record]:
        try:
            lines = self.path.open("rb")
        except FileNotFoundError:
            return []
        with lines:
            fcntl.flock(lines, fcntl.LOCK_SH)
            content = lines.read()
        return self._events(content)

    def _events(self, content: bytes) -> list[Record]:
        """The events in the journal's bytes; a torn line is told and left out."""
        *whole, tail = content.split(b"\n")
        events: list[Record] = []
        for number, line in enumerate(whole, start=1):
            following = whole[number] if number < len(whole) else b""
            if following == _TORN_LINE:
                self.tell(f"{self.path}, line {number}: cut short when its writer was killed; passed over")
            elif line != _TORN_LINE:
                events.append(_event(line, f"{self.path}, line {number}"))
        if tail:
            self.tell(f"{self.path}, last line: cut short when its writer was killed; passed over")
        return events

    @contextmanager
    def _appending(self) -> Iterator[tuple[list[Record], Callable[[Sequence[Record]], None]]]:
        """The events so far and a function that appends to them, with every other writer held off."""
        self.root.mkdir(parents=True, exist_ok=True)
        created = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = _content(descriptor)

            def append(records: Sequence[Record]) -> None:
                torn = b"\n" + _TORN_LINE + b"\n" if content and not content.endswith(b"\n") else b""
                lines = (json.dumps(record, sort_keys=True).encode() + b"\n" for record in records)
                self._write(descriptor, torn + b"".join(lines), len(content))

            yield self._events(content), append
        finally:
            os.close(descriptor)
        if created:
            _sync_folder(self.root)

    def _write(self, descriptor: int, content: bytes, before: int) -> None:
        try:
            written = os.write(descriptor, content)
            if written != len(content):
                raise OSError(f"{written} of {len(content)} bytes written: the disk is full")
            os.fsync(descriptor)
        except OSError as error:
            # Nobody was told of these lines, so the half-written ones are taken back.
            os.ftruncate(descriptor, before)
            raise StoreError(f"cannot write the journal: {error}", where=str(self.path)) from error


_TORN_LINE = json.dumps({"event": "torn", "format": FORMAT}, sort_keys=True).encode()


def _content(descriptor: int) -> bytes:
    content = b""
    while part := os.pread(descriptor, 1 << 20, len(content)):
        content += part
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aware(time: datetime | None) -> datetime:
    if time is None:
        return datetime.now(UTC)
    if time.tzinfo is None:
        raise UsageError(f"{time.isoformat()} has no time zone", remedy="Give the time with its offset.")
    return time.astimezone(UTC)


def _live_line(deployment: Deployment) -> Record:
    record = dataclasses.asdict(deployment)
    del record["end"], record["reason"], record["start"]
    return {"event": "live", "format": FORMAT, "from": deployment.start.isoformat(), **record}


def _end_line(id: str, to: datetime, reason: str) -> Record:
    return {"event": "ended", "format": FORMAT, "id": id, "to": to.isoformat(), "reason": reason}


_FIELDS = {
    "live": (
        "id",
        "environment",
        "release",
        "digest",
        "from",
        "run",
        "action",
        "process",
        "mark",
        "url",
        "how",
    ),
    "ended": ("id", "to", "reason"),
}


def _event(line: bytes, where: str) -> Record:
    """The event a line holds. Raises StoreError for a newer format or a damaged line."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    version = record.get("format") if isinstance(record, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise StoreError(
            f"written in format {version} by a newer llmops; this one reads up to {FORMAT}",
            where=where,
            remedy="Upgrade llmops.",
        )
    known = isinstance(record, dict) and record.get("event") in _FIELDS
    if version != FORMAT or not known or not set(_FIELDS[record["event"]]) <= record.keys():
        raise StoreError(
            "this line of the deployment journal is damaged",
            where=where,
            remedy="Put the file back from a backup, or mend the line by hand.",
        )
    return dict(record)


def _merge(events: Sequence[Record]) -> list[Deployment]:
    """The deployments that the events tell of, in the journal's order."""
    ends = {event["id"]: event for event in reversed(events) if event["event"] == "ended"}
    return [_deployment(event, ends.get(event["id"])) for event in events if event["event"] == "live"]


def _deployment(live: Record, end: Record | None) -> Deployment:
    known = {name: live[name] for name in _FIELDS["live"] if name != "from"}
    started = Deployment(start=datetime.fromisoformat(live["from"]), **known)
    if end is not None:
        return dataclasses.replace(started, end=datetime.fromisoformat(end["to"]), reason=end["reason"])
    if started.process and is_gone(started.process, started.mark):
        return dataclasses.replace(started, reason=PROCESS_GONE)
    return started
