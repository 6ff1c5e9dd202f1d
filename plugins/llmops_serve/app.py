"""The HTTP face: routes, authorization, and errors in OpenAI's JSON shape."""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from llmops_serve.answers import Envelope
from llmops_serve.engine import Engine
from llmops_serve.exchange import CLIENT_GONE, Exchange, streamed_answer, whole_answer
from llmops_serve.metrics import Metrics, new_metrics
from llmops_serve.protocol import (
    ApiError,
    Body,
    Defaults,
    Options,
    read_body,
    read_messages,
    read_options,
    read_prompt,
)
from llmops_serve.server_settings import ServerSettings
from llmops_serve.weights import Loaded

BODY_BYTES = 8 * 1024 * 1024
RETRY_SECONDS = 1

Kind = Literal["chat", "completion"]


@dataclass(frozen=True)
class Server:
    """What the routes share."""

    engine: Engine
    settings: ServerSettings
    metrics: Metrics
    api_key: str | None
    started: int

    @property
    def defaults(self) -> Defaults:
        """What requests get that do not say."""
        return Defaults(
            model=self.settings.model_name,
            max_new_tokens=self.settings.max_new_tokens,
            temperature=self.settings.temperature,
        )

    def authorize(self, request: Request) -> None:
        """Raises ApiError unless the request carries the key, where there is one."""
        if self.api_key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), self.api_key.encode()):
            raise ApiError(401, "a valid key is needed: Authorization: Bearer KEY", code="invalid_api_key")

    def loaded(self) -> Loaded:
        """The model. Raises ApiError while it is still being loaded."""
        if self.engine.loaded is None:
            raise ApiError(503, "the model is being loaded", code="not_ready")
        return self.engine.loaded


def build_app(engine: Engine, settings: ServerSettings, api_key: str | None) -> Starlette:
    """The application around an engine, which it starts and stops."""
    metrics = new_metrics(settings.release, settings.model_name, lambda: engine.in_flight)
    server = Server(engine, settings, metrics, api_key, int(time.time()))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine.start()
        yield
        await anyio.to_thread.run_sync(engine.close, settings.stop_limit)

    return Starlette(
        routes=[
            Route("/health", lambda request: _health(server)),
            Route("/metrics", lambda request: _metrics(server)),
            Route("/v1/models", _guarded(server, _models)),
            Route("/v1/models/{name:path}", _guarded(server, _model)),
            Route("/v1/chat/completions", _answering(server, "chat"), methods=["POST"]),
            Route("/v1/completions", _answering(server, "completion"), methods=["POST"]),
        ],
        exception_handlers={ApiError: _refusal, HTTPException: _http_error, Exception: _failure},
        lifespan=lifespan,
    )


def _health(server: Server) -> Response:
    ready = server.engine.loaded is not None
    about = {
        "status": "ready" if ready else "loading",
        "release": server.settings.release,
        "model": server.settings.model_name,
        "process": os.getpid(),
    }
    return JSONResponse(about, 200 if ready else 503)


def _metrics(server: Server) -> Response:
    return Response(generate_latest(server.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _guarded(
    server: Server, show: Callable[[Server, Request], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        server.authorize(request)
        return show(server, request)

    return endpoint


def _models(server: Server, request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [_about(server)]})


def _model(server: Server, request: Request) -> Response:
    name = request.path_params["name"]
    if name != server.settings.model_name:
        raise ApiError(404, f"the model {name!r} is not here", param="model", code="model_not_found")
    return JSONResponse(_about(server))


def _about(server: Server) -> dict[str, object]:
    return {
        "id": server.settings.model_name,
        "object": "model",
        "created": server.started,
        "owned_by": "llmops",
        "release": server.settings.release,
        "context": server.settings.context,
        "chat": server.engine.loaded is not None and server.engine.loaded.chats,
    }


def _answering(server: Server, kind: Kind) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        exchange = Exchange(kind, server.metrics)
        try:
            return await _answer(server, kind, request, exchange)
        except ApiError as error:
            exchange.close(error.status)
            raise
        except BaseException:
            exchange.close(500)
            raise

    return endpoint


async def _answer(server: Server, kind: Kind, request: Request, exchange: Exchange) -> Response:
    server.authorize(request)
    body = read_body(await _content(request))
    options = read_options(body, "messages" if kind == "chat" else "prompt", server.defaults)
    loaded = server.loaded()
    tokens = await anyio.to_thread.run_sync(_tokens, loaded, kind, body)
    if len(tokens) >= loaded.context:
        raise ApiError(
            413,
            f"the prompt has {len(tokens)} tokens; with its answer it must fit into {loaded.context}",
            param="messages" if kind == "chat" else "prompt",
            code="context_length_exceeded",
        )
    exchange.submit(server.engine, tokens, options)
    return await _respond(server, kind, request, exchange, options)


async def _respond(
    server: Server, kind: Kind, request: Request, exchange: Exchange, options: Options
) -> Response:
    envelope = Envelope(
        kind=kind, model=server.settings.model_name, fingerprint=server.settings.release[:16] or "none"
    )
    if options.stream:
        return streamed_answer(exchange, envelope, include_usage=options.include_usage)
    answer = await whole_answer(exchange, envelope, request)
    exchange.close(200)
    return JSONResponse(answer)


def _tokens(loaded: Loaded, kind: Kind, body: Body) -> list[int]:
    return loaded.encode_chat(read_messages(body)) if kind == "chat" else loaded.encode(read_prompt(body))


async def _content(request: Request) -> bytes:
    """The body of a request. Raises ApiError for one that is too long or not said to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A web page may send other types anywhere without being asked; JSON it may not.
        raise ApiError(415, "send the request with Content-Type: application/json")
    content = bytearray()
    try:
        async for part in request.stream():
            content += part
            if len(content) > BODY_BYTES:
                raise ApiError(413, f"the request's body is longer than {BODY_BYTES} bytes")
    except ClientDisconnect:
        raise ApiError(CLIENT_GONE, "the client went away") from None
    return bytes(content)


async def _refusal(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in (429, 503):
        headers["Retry-After"] = str(RETRY_SECONDS)
    return JSONResponse(error.body(), error.status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path}: {getattr(error, 'detail', 'failed')}"
    return JSONResponse(ApiError(status, message).body(), status)


async def _failure(request: Request, error: Exception) -> Response:
    # Starlette raises it again once this is sent, so uvicorn writes the traceback into the log.
    return JSONResponse(ApiError(500, "the server failed; its log says why").body(), 500)
