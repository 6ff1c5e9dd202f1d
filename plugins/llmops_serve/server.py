"""The server's process: `python -m llmops_serve.server --release DIGEST --settings FILE --socket NUMBER`.

It is started with a bound socket, and with a pipe as its input: when whoever started it ends without having
written "keep", so does the server. SIGTERM lets answers in work finish within the settings' stop_limit.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from llmops_serve.app import build_app
from llmops_serve.engine import Engine
from llmops_serve.process import KEEP
from llmops_serve.server_settings import API_KEY_VARIABLE, ServerSettings
from llmops_serve.weights import load


def main() -> int:
    """Serve until told to stop; gives the exit status."""
    parser = argparse.ArgumentParser(prog="llmops_serve.server")
    parser.add_argument("--release", required=True, help="digest, to be seen in the process list")
    parser.add_argument("--settings", required=True, type=Path)
    parser.add_argument("--socket", required=True, type=int, help="descriptor of a bound socket")
    given = parser.parse_args()
    # Uvicorn sends itself the signal again when it has shut down: a stop that was asked for is no failure.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    settings = ServerSettings.read(given.settings)
    api_key = os.environ.pop(API_KEY_VARIABLE, None)
    listening = socket.socket(fileno=given.socket)
    return _serve(settings, api_key, listening)


def _serve(settings: ServerSettings, api_key: str | None, listening: socket.socket) -> int:
    failures: list[str] = []

    def failed(error: str) -> None:
        failures.append(error)
        server.should_exit = True

    engine = Engine(lambda: load(settings, _tell), settings.max_requests, settings.max_batch, failed)
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(engine, settings, api_key),
            access_log=False,
            timeout_graceful_shutdown=max(1, round(settings.stop_limit)),
            ws="none",
        )
    )
    threading.Thread(target=_end_with_starter, name="starter", daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        if not engine.close(wait=1):
            # The model's thread is in the middle of something long; leaving Python around it may crash.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1 if failures else 0)
    for failure in failures:
        _tell(f"the model could not be loaded: {failure}")
    return 1 if failures else 0


def _end_with_starter() -> None:
    # Not through sys.stdin, whose lock a thread must not hold while Python ends.
    if os.read(sys.stdin.fileno(), len(KEEP)) != KEEP:
        os.kill(os.getpid(), signal.SIGTERM)


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
