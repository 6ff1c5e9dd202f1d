"""The worker thread that owns the model: it loads it, and answers requests as they come."""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmops_serve.generation import Batch, GivenUpError, can_batch, chooser
from llmops_serve.protocol import Options
from llmops_serve.text_stream import Detokenizer, StopStrings
from llmops_serve.weights import Loaded


@dataclass(frozen=True)
class Piece:
    """A part of an answer. The last one has `finish` ("stop", "length") or `error`."""

    text: str
    completion: int
    """Tokens written so far."""
    finish: str | None = None
    error: str | None = None

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.finish is not None or self.error is not None


class BusyError(Exception):
    """As many requests are in work or waiting as may be."""


class ClosingError(Exception):
    """The server is stopping."""


@dataclass
class Work:
    """One request: what was asked, and the answer so far. `deliver` is called in the worker thread."""

    tokens: Sequence[int]
    options: Options
    deliver: Callable[[Piece], None]
    stops: StopStrings
    text: Detokenizer
    end_tokens: frozenset[int]
    limit: int
    completion: int = 0
    left: bool = False
    """Whether it no longer counts as in work. Belongs to the engine."""
    _given_up: threading.Event = field(default_factory=threading.Event)

    def give_up(self) -> None:
        """Nobody waits for it any more. May be called from any thread, and after the end."""
        self._given_up.set()

    def wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return not self._given_up.is_set()

    def take(self, token: int) -> Piece:
        """What a new token makes certain."""
        self.completion += 1
        ended = token in self.end_tokens
        text = "" if ended else self.stops.push(self.text.push(token))
        finish = "stop" if ended or self.stops.found else None
        if finish is None and self.completion >= self.limit:
            finish = "length"
        if finish and not self.stops.found:
            text += self.stops.push(self.text.finish())
            if self.stops.found:
                finish = "stop"
            else:
                text += self.stops.finish()
        return Piece(text, self.completion, finish)

    def fail(self, error: str) -> None:
        """Deliver that there will be no answer."""
        self.deliver(Piece("", self.completion, error=error))


class Engine:
    """Owns one model in one thread. `load` runs in that thread; `failed` is called there when it raises."""

    def __init__(
        self, load: Callable[[], Loaded], max_requests: int, max_batch: int, failed: Callable[[str], None]
    ) -> None:
        self.loaded: Loaded | None = None
        self._load = load
        self._failed = failed
        self._max_requests = max_requests
        self._max_batch = max_batch
        self._waiting: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._admitted = 0
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._live, name="model", daemon=True)

    def start(self) -> None:
        """Begin to load the model."""
        self._thread.start()

    def close(self, wait: float) -> bool:
        """Stop after the token in work; false when that took longer than `wait` seconds."""
        self._closing.set()
        self._waiting.put(None)
        if self._thread.ident is None:
            return True
        self._thread.join(wait)
        return not self._thread.is_alive()

    @property
    def in_flight(self) -> int:
        """Requests in work or waiting."""
        return self._admitted

    def submit(self, tokens: Sequence[int], options: Options, deliver: Callable[[Piece], None]) -> Work:
        """Have a request answered piece by piece. Raises BusyError and ClosingError."""
        loaded = self.loaded
        if loaded is None or self._closing.is_set():
            raise ClosingError
        with self._guard:
            if self._admitted >= self._max_requests:
                raise BusyError
            self._admitted += 1
        work = Work(
            tokens=tokens,
            options=options,
            deliver=deliver,
            stops=StopStrings(options.stops),
            text=Detokenizer(loaded.decode),
            end_tokens=loaded.end_tokens,
            limit=min(options.max_tokens, loaded.context - len(tokens)),
        )
        self._waiting.put(work)
        return work

    def _live(self) -> None:
        try:
            loaded = self._load()
        except Exception as error:  # told to whoever started the server, which then ends
            traceback.print_exc(file=sys.stderr)
            self._failed(f"{type(error).__name__}: {error}")
            return
        self.loaded = loaded
        batch, playing = Batch(loaded.model), list[Work]()
        while not self._closing.is_set():
            try:
                self._turn(batch, playing)
            except Exception as error:  # one bad turn must not end the server; those it hit are told
                traceback.print_exc(file=sys.stderr)
                for work in playing:
                    self._leave(work, f"the model failed: {type(error).__name__}")
                batch, playing = Batch(loaded.model), []
        for work in [*playing, *self._rest()]:
            self._leave(work, "the server is stopping")

    def _turn(self, batch: Batch, playing: list[Work]) -> None:
        """Take in waiting requests, then write one token of every answer."""
        most = self._max_batch if can_batch(batch.model) else 1
        while len(playing) < most:
            work = self._next(wait=not playing)
            if work is None:
                break
            self._enter(batch, playing, work)
        if not playing:
            return
        tokens = batch.step()
        going = [index for index, work in enumerate(playing) if self._goes_on(work, tokens[index])]
        playing[:] = [playing[index] for index in going]
        batch.keep(going)

    def _enter(self, batch: Batch, playing: list[Work], work: Work) -> None:
        options = work.options
        choose = chooser(options.temperature, options.top_p, options.seed)
        try:
            token = batch.join(work.tokens, choose, work.wanted)
        except GivenUpError:
            self._leave(work)
            return
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self._leave(work, f"the model failed: {type(error).__name__}")
            return
        playing.append(work)
        if not self._goes_on(work, token):
            playing.pop()
            batch.keep(range(len(playing)))

    def _goes_on(self, work: Work, token: int) -> bool:
        """Deliver what `token` makes certain; false when the answer is complete or nobody waits for it."""
        if not work.wanted():
            self._leave(work)
            return False
        piece = work.take(token)
        if piece.last:
            self._leave(work)
        work.deliver(piece)
        return not piece.last

    def _leave(self, work: Work, error: str = "") -> None:
        """Count `work` out before its last piece is delivered: whoever gets that may ask again at once."""
        with self._guard:
            self._admitted -= not work.left
            work.left = True
        if error:
            work.fail(error)

    def _next(self, *, wait: bool) -> Work | None:
        try:
            return self._waiting.get(block=wait)
        except queue.Empty:
            return None

    def _rest(self) -> list[Any]:
        rest = []
        while not self._waiting.empty():
            rest.append(self._waiting.get())
        return [work for work in rest if work is not None]
