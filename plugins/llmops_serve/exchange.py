"""One request's way through the server: from the engine's thread to the client, counted on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from llmops_serve.answers import DONE, Envelope, Usage, event
from llmops_serve.engine import BusyError, ClosingError, Engine, Piece, Work
from llmops_serve.metrics import Metrics
from llmops_serve.protocol import ApiError, Options

CLIENT_GONE = 499  # no client sees it; the counters tell given-up answers apart by it


@dataclass
class Exchange:
    """One request: its pieces as they come, and what the counters are told when it is over."""

    endpoint: str
    metrics: Metrics
    begun: float = field(default_factory=time.perf_counter)
    prompt: int = 0
    completion: int = 0
    _work: Work | None = None
    _pieces: asyncio.Queue[Piece] = field(default_factory=asyncio.Queue)
    _closed: bool = False

    def submit(self, engine: Engine, tokens: Sequence[int], options: Options) -> None:
        """Hand the request to the engine. Raises ApiError when it is full or stopping."""
        loop = asyncio.get_running_loop()

        def deliver(piece: Piece) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._pieces.put_nowait, piece)

        try:
            self._work = engine.submit(tokens, options, deliver)
        except BusyError:
            raise ApiError(429, "the server is busy: try again soon", code="server_busy") from None
        except ClosingError:
            raise ApiError(503, "the server is not ready", code="not_ready") from None
        self.prompt = len(tokens)

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer's pieces, the last one included."""
        while True:
            piece = await self._pieces.get()
            if not self.completion and piece.completion:
                self.metrics.first_token.labels(self.endpoint).observe(time.perf_counter() - self.begun)
            self.completion = piece.completion
            yield piece
            if piece.last:
                return

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return Usage(self.prompt, self.completion)

    def close(self, status: int) -> None:
        """Count the request as over; an answer still being written is given up."""
        if self._closed:
            return
        self._closed = True
        if self._work is not None:
            self._work.give_up()
        self.metrics.requests.labels(self.endpoint, str(status)).inc()
        self.metrics.seconds.labels(self.endpoint).observe(time.perf_counter() - self.begun)
        self.metrics.prompt_tokens.inc(self.prompt)
        self.metrics.completion_tokens.inc(self.completion)


async def whole_answer(exchange: Exchange, envelope: Envelope, request: Request) -> dict[str, Any]:
    """The answer in one piece. Raises ApiError when the model fails or the client goes away."""
    reading = asyncio.ensure_future(_read_all(exchange))
    # The body has been read, so all that can still arrive is that the client hung up.
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({reading, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ApiError(CLIENT_GONE, "the client went away")
        text, last = reading.result()
    finally:
        reading.cancel()
        gone.cancel()
    if last.error is not None:
        raise ApiError(500, last.error)
    return envelope.whole(text, last.finish or "stop", exchange.usage)


async def _read_all(exchange: Exchange) -> tuple[str, Piece]:
    pieces = [piece async for piece in exchange.pieces()]
    return "".join(piece.text for piece in pieces), pieces[-1]


def streamed_answer(exchange: Exchange, envelope: Envelope, *, include_usage: bool) -> StreamingResponse:
    """The answer as server-sent events."""
    content = _events(exchange, envelope, include_usage)
    return _ClosingStream(content, lambda: exchange.close(CLIENT_GONE))


async def _events(exchange: Exchange, envelope: Envelope, include_usage: bool) -> AsyncIterator[bytes]:
    opening = envelope.opening(usage_follows=include_usage)
    if opening:
        yield opening
    async for piece in exchange.pieces():
        if piece.error is not None:
            exchange.close(500)
            yield event(ApiError(500, piece.error).body())
            return
        if piece.text:
            yield envelope.piece(piece.text, None, usage_follows=include_usage)
        if piece.finish:
            yield envelope.piece("", piece.finish, usage_follows=include_usage)
    if include_usage:
        yield envelope.usage(exchange.usage)
    exchange.close(200)
    yield DONE


class _ClosingStream(StreamingResponse):
    """Tells when it is over, however it ends: a client that hangs up need not close the generator."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        super().__init__(content, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
