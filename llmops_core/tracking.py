"""Records a run elsewhere too. What every tracker needs is done here, so that a plugin is a few lines:

    TRACK = Implementation("track", "acme", "acme.config:AcmeTrack", "acme.tracker:start")

    @hookimpl
    def llmops_implementations():
        return [TRACK]

    @hookimpl(trylast=True)
    def llmops_event(run, event):
        follow(TRACK, run, event)

`start` is called as `start(config, run)` with a `TrackedRun` and gives a `Tracker`. Both act in a thread of
their own, so that no slow server slows a step; what fails there is raised at a later event, for the run to
tell as a warning.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from llmops_core import events, tracked
from llmops_core.errors import LlmopsError
from llmops_core.hookspecs import Implementation
from llmops_core.manifest import Manifest
from llmops_core.plugins import resolve
from llmops_core.stages import BY_NAME
from llmops_core.tracked import Ended, Live, Output, Point, TrackedRelease, TrackedRun, TrackingError
from llmops_core.typed import Reading

BATCH = 1000
"""Numbers that are sent at once at most."""
EVERY = 2.0
"""Seconds that a number waits for others at most."""
UNSENT = 100_000
"""Numbers that are kept while they cannot be sent."""
PATIENCE = 30.0
"""Seconds that the end of a run waits, where a tracker's config has no field `wait` of its own."""
LONGEST = 300
"""Characters of a foreign error's message that are told."""


class Tracker(Protocol):
    """One run in one tracker. Called in the order things happened, by one thread; may raise anything."""

    address: str
    """Where the run can be found there, for a person."""

    def points(self, points: Sequence[Point]) -> None:
        """Keep numbers, a batch at a time."""

    def output(self, output: Output) -> None:
        """Note what a step gave and where it lies."""

    def released(self, release: TrackedRelease) -> None:
        """See that the model registry has a version for this release."""

    def live(self, live: Live) -> None:
        """See that the registry names what is live in an environment."""

    def end(self, ended: Ended) -> None:
        """Close the record."""


def follow(implementation: Implementation, run: Manifest, event: events.Event) -> None:
    """Pass an event on to the recipe's trackers of this implementation. Raises TrackingError for what failed
    since the last event."""
    if isinstance(event, (events.Log, events.Progress)):
        return  # nothing to record; and a Log may be how a failure is being told right now
    if isinstance(event, events.RunStarted):
        for name, node in _chosen(run, implementation.name):
            run.kept[f"track.{implementation.name}.{name}"] = Following(run, implementation, node)
    prefix = f"track.{implementation.name}."
    told: list[str] = []
    for key in [key for key in run.kept if key.startswith(prefix)]:
        following: Following = run.kept[key]
        following.take(event)
        told += following.told()
        if isinstance(event, events.RunEnded) and following.address:
            run.document.setdefault("tracked", {})[key.removeprefix(prefix)] = following.address
    if told:
        raise TrackingError("; ".join(told))


def _chosen(run: Manifest, use: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, node in (run.document.get("config", {}).get("track") or {}).items():
        if node.get("use") == use:
            yield name, {key: value for key, value in node.items() if key != "use"}


class Following:
    """One tracker of one run: what is told goes into a queue that a thread empties."""

    def __init__(self, run: Manifest, implementation: Implementation, node: Mapping[str, Any]) -> None:
        self.run = run
        self.address = ""
        self.config = _config(implementation, node)
        self.ended = False
        self._failures: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._queue: queue.Queue[Point | Callable[[Tracker], None]] = queue.Queue()
        arguments = (implementation, tracked.tracked_run(run))
        self._thread = threading.Thread(target=self._work, args=arguments, name="llmops-track", daemon=True)
        self._thread.start()

    def told(self) -> list[str]:
        """What failed and was not told yet."""
        found = []
        while not self._failures.empty():
            found.append(self._failures.get())
        return found

    def take(self, event: events.Event) -> None:
        """Put what an event says into the queue; at the end of the run, wait until it is sent."""
        if not self._thread.is_alive():
            return  # the tracker could not even start, which was told
        if isinstance(event, events.Metric):
            self._queue.put(Point(event.step, event.name, event.value, event.at, time.time()))
        elif isinstance(event, (events.StepEnded, events.StepReused)):
            record = dict(self.run.step(event.step))
            self._queue.put(lambda tracker: _told(self.run, record, tracker))
        elif isinstance(event, events.RunEnded):
            self._end(event)

    def _end(self, event: events.RunEnded) -> None:
        # a deployment that failed may have put back what was live before
        failed = [
            record
            for record in self.run.document["steps"]
            if BY_NAME[record["stage"]].live and record["status"] not in ("pending", "done")
        ]
        if failed:
            self._queue.put(lambda tracker: _live(self.run, tracker))
        self._queue.put(lambda tracker: self._close(tracker, event))
        wait = float(getattr(self.config, "wait", PATIENCE))
        self._thread.join(wait)
        if self._thread.is_alive():
            self._failures.put(f"not everything was recorded within {wait:g} s of the run's end")

    def _close(self, tracker: Tracker, event: events.RunEnded) -> None:
        self.ended = True
        tracker.end(tracked.ended(self.run, event))

    # -- in the thread ---------------------------------------------------------------------------

    def _work(self, implementation: Implementation, run: TrackedRun) -> None:
        made: list[Tracker] = []
        if not self._tried(lambda: made.append(resolve(implementation.target)(self.config, run))):
            return
        tracker = made[0]
        self.address = tracker.address
        unsent: list[Point] = []
        while not self.ended:
            points, job = self._gathered()
            unsent = self._sent(tracker, [*unsent, *points])
            if job is not None:
                self._tried(functools.partial(job, tracker))
            if len(unsent) > UNSENT or (self.ended and unsent):
                self._failures.put(f"{len(unsent)} numbers could not be recorded")
                unsent = []

    def _sent(self, tracker: Tracker, points: list[Point]) -> list[Point]:
        """Send numbers, a batch at a time; gives those that could not be sent."""
        while points and self._tried(functools.partial(tracker.points, points[:BATCH])):
            points = points[BATCH:]
        return points

    def _gathered(self) -> tuple[list[Point], Callable[[Tracker], None] | None]:
        """Numbers until something else comes, the batch is full, or the first has waited long enough."""
        points: list[Point] = []
        item = self._queue.get()
        until = time.monotonic() + EVERY
        while isinstance(item, Point):
            points.append(item)
            if len(points) >= BATCH:
                return points, None
            try:
                item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return points, None
        return points, item

    def _tried(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except BaseException as error:  # whatever foreign code raises is told, and the run goes on
            lines = str(error).strip().splitlines() or [""]
            kind = "" if isinstance(error, LlmopsError) else f"{type(error).__name__}: "
            self._failures.put(f"{kind}{lines[0][:LONGEST]}".rstrip(": "))
            return False
        return True


def _config(implementation: Implementation, node: Mapping[str, Any]) -> Any:
    wrong: list[str] = []
    reading = Reading(
        lambda path, what, remedy: wrong.append(f"{path}: {what}"), lambda *_: None, lambda path: Path()
    )
    config = reading.read(node, resolve(implementation.config), "track")  # type: ignore[arg-type]
    if wrong:
        raise TrackingError("; ".join(wrong))
    return config


def _told(run: Manifest, record: Mapping[str, Any], tracker: Tracker) -> None:
    """Tell a tracker what a step gave, and what that means for the registry."""
    output = tracked.output(run, record)
    tracker.output(output)
    if output.kind == "Release":
        tracker.released(tracked.release(run, output.digest))
    if BY_NAME[output.stage].live:
        _live(run, tracker)


def _live(run: Manifest, tracker: Tracker) -> None:
    found = tracked.live(run)
    if found is not None:
        tracker.live(found)
