"""Starts and stops a server's process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import llmops_core
import llmops_serve
from llmops_core.errors import StepError
from llmops_core.processes import is_gone, process_mark
from llmops_serve.server_settings import API_KEY_VARIABLE, ServerSettings

MODULE = "llmops_serve.server"
KEEP = b"keep"
LOG_LINES = 8
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Started:
    """A server's process, its address, and where its log begins."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path | None
    log_begins: int = 0

    def last_lines(self) -> str:
        """The end of what the server wrote since it was started."""
        if self.log is None:
            return "(its lines are above)"
        with self.log.open("rb") as file:
            file.seek(self.log_begins)
            lines = file.read().decode("utf-8", "replace").splitlines()
        said = [line for line in lines if line.strip()][-LOG_LINES:]
        return "\n".join(f"  {line}" for line in said) or "  (it wrote nothing)"


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that holds the address but does not listen yet. Raises StepError when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise StepError(
            f"no such address: {host}", where="host", remedy="Name one of this machine's."
        ) from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise StepError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            where="port",
            remedy="Stop what listens there, or choose another port (0 takes any free one).",
        ) from error
    return bound


def start(
    settings: ServerSettings, file: Path, bound: socket.socket, log: Path | None, key: str | None
) -> Started:
    """Start a server on `bound`, which the caller closes. Without `log` it writes where this process does."""
    settings.write(file)
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    command = [
        sys.executable,
        "-m",
        MODULE,
        "--release",
        settings.release,
        "--settings",
        str(file.absolute()),
    ]
    begins = log.stat().st_size if log is not None and log.exists() else 0
    output = None if log is None else log.open("ab")
    try:
        process = subprocess.Popen(
            [*command, "--socket", str(bound.fileno())],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=_environment(settings, key),
            cwd=file.parent,
            pass_fds=[bound.fileno()],
            start_new_session=True,
        )
    finally:
        if output is not None:
            output.close()
    return Started(process, f"http://{shown}:{port}", log, begins)


def _environment(settings: ServerSettings, key: str | None) -> dict[str, str]:
    """This process's environment, so that the child finds the same packages, with what serving adds."""
    sources = [str(Path(str(package.__file__)).parent.parent) for package in (llmops_serve, llmops_core)]
    path = [entry for entry in sys.path if entry and Path(entry).is_absolute()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sources, *path]), "PYTHONUNBUFFERED": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONSAFEPATH": "1"}
    if settings.threads is not None:
        environment["OMP_NUM_THREADS"] = str(settings.threads)
    environment.pop(API_KEY_VARIABLE, None)
    return environment if key is None else {**environment, API_KEY_VARIABLE: key}


def wait_until_ready(started: Started, limit: float) -> float:
    """Wait for /health; gives the seconds it took. Raises StepError when the server dies or is slow."""
    begun = time.monotonic()
    while not _is_ready(started.url):
        status = started.process.poll()
        if status is not None:
            raise StepError(
                f"the server ended while starting (exit status {status}):\n{started.last_lines()}",
                where=str(started.log or ""),
            )
        if time.monotonic() - begun > limit:
            raise StepError(
                f"the server was not ready within {limit:g} s:\n{started.last_lines()}",
                where=str(started.log or ""),
                remedy="Raise start_limit, or serve a smaller model.",
            )
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begun


def _is_ready(url: str) -> bool:
    # No proxy: a configured one could not reach this machine's loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ready")
    except (OSError, urllib.error.URLError, http.client.HTTPException, ValueError):
        return False  # not listening yet, or 503 while it loads: both are asked again


def detach(started: Started) -> None:
    """Let the server live on after this process."""
    assert started.process.stdin is not None  # start() asked for a pipe
    started.process.stdin.write(KEEP)
    started.process.stdin.close()
    # From here on it is nobody's child to wait for, and Popen need not warn that nobody did.
    started.process.returncode = 0


def stop_child(started: Started, limit: float) -> bool:
    """Stop a server that this process started; false when it had to be killed."""
    process = started.process
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def stop_process(number: int, release: str, limit: float) -> bool:
    """Stop the server of `release` that runs as process `number`; false when it had to be killed.

    Nothing happens when that process has ended, even if another one got its number.
    """
    mark = process_mark(number)
    try:
        if not mark or not _is_server(number, release):
            return True
        os.kill(number, signal.SIGTERM)
        if _wait_gone(number, mark, limit):
            return True
        os.kill(number, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return True  # it ended by itself in between
    _wait_gone(number, mark, limit)
    return False


def _wait_gone(number: int, mark: str, limit: float) -> bool:
    end = time.monotonic() + limit
    while not is_gone(number, mark):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _is_server(number: int, release: str) -> bool:
    command = Path(f"/proc/{number}/cmdline")
    if command.parent.parent.joinpath("self").exists():
        words = command.read_bytes().decode("utf-8", "replace").split("\0")
    else:
        asked = ["ps", "-ww", "-o", "command=", "-p", str(number)]
        words = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return MODULE in words and release in words
