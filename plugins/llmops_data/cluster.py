"""A Ray cluster joined, or started on this machine, for as long as a step needs it: the engine `ray`.

Ray is first imported here, since it reads much of its environment when it is.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from llmops_core.errors import DataError
from llmops_core.step import StepRun
from llmops_data.config import Ray
from llmops_data.parallel import Engine

LOCAL, AUTO = "local", "auto"
CURRENT = Path("/tmp/ray/ray_current_cluster")
"""Where `ray start` writes down the cluster that it started or joined."""
FOLDERS = Path("/tmp")
"""Not where the user has such things: the path of a socket may have 107 characters."""
NAMED = "llmops-ray-"
PATIENCE = 5
"""Seconds within which a cluster must answer; Ray itself would wait for a minute."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
"""Nothing is sent to Ray's makers; Ray prints nothing (what a person can act on is told as an error), and
joins no cluster that nobody asked for."""


@contextmanager
def ray_cluster(config: Ray, run: StepRun, workers: int) -> Iterator[Engine]:
    """A cluster that is joined, or started, when the first step needs it, and left at the end."""
    with _environment(config):
        from llmops_data.on_ray import OnRay

        cluster = Cluster(config, run)
        try:
            yield OnRay(config, cluster.join)
        finally:
            cluster.leave()


class Cluster:
    """A Ray cluster that is joined once."""

    def __init__(self, config: Ray, run: StepRun) -> None:
        self._config, self._run = config, run
        self._folder = ""
        self._joined = False

    def join(self) -> None:
        """Join the cluster, or start one. Raises DataError when it does not answer."""
        import ray

        if self._joined or ray.is_initialized():
            return
        address = _found() if self._config.address == AUTO else self._config.address
        if address not in (LOCAL, AUTO):
            self._reach(address)
        try:
            ray.init(address, log_to_driver=False, logging_level="CRITICAL", **self._ours())
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise self._unreached(str(error).strip().partition("\n")[0].rstrip(".")) from error
        self._joined = True
        nodes = [one["Resources"].get("CPU", 0) for one in ray.nodes() if one["Alive"]]
        self._run.log(f"Ray: {sum(nodes):g} CPUs on {len(nodes)} node{'' if len(nodes) == 1 else 's'}")
        if max(nodes, default=0) < self._config.cpus:
            self._run.warn(
                f"no machine of the Ray cluster has {self._config.cpus:g} CPUs: waiting until one joins"
            )

    def leave(self) -> None:
        """Leave it; what was started for it ends."""
        if self._joined:
            import ray

            ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _ours(self) -> dict[str, Any]:
        """How a cluster of this machine alone is started."""
        config = self._config
        if config.address != LOCAL:
            return {}
        for folder in FOLDERS.glob(f"{NAMED}*"):
            if not _running(folder.name):
                shutil.rmtree(folder, ignore_errors=True)
        self._folder = tempfile.mkdtemp(prefix=f"{NAMED}{os.getpid()}-", dir=FOLDERS)
        return {
            "_temp_dir": self._folder,
            "_node_ip_address": "127.0.0.1",
            "num_cpus": config.tasks * config.cpus or None,
            "include_dashboard": False,
        }

    def _reach(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except (OSError, ValueError) as error:
            raise self._unreached(str(error)) from error

    def _unreached(self, why: str) -> DataError:
        what = f"the Ray cluster {self._config.address} cannot be joined: {why}"
        remedy = "Start one (ray start --head), state another engine.address, or set it to local."
        return DataError(what, where=self._run.step, remedy=remedy)


@contextmanager
def _environment(config: Ray) -> Iterator[None]:
    """Ray takes its settings from here, also for the processes that it starts, and leaves some behind."""
    before = dict(os.environ)
    os.environ.update(SETTINGS)
    if config.address == LOCAL:
        # Ray listens on every network of a machine: a cluster of ours obeys only who has this
        os.environ.setdefault("RAY_AUTH_TOKEN", _token())
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            if name.startswith("RAY_"):
                del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if name.startswith("RAY_")})


@cache
def _token() -> str:
    """Once a process, as Ray reads it."""
    return secrets.token_hex(32)


def _found() -> str:
    """The cluster that `auto` means. Ray itself would take any, also one that another run is about to end."""
    said = os.environ.get("RAY_ADDRESS") or (CURRENT.read_text() if CURRENT.exists() else "")
    return said.strip() if ":" in said and "://" not in said else AUTO


def _running(name: str) -> bool:
    """Whether the process is there that a folder is called by: else it was killed, and Ray with it."""
    try:
        os.kill(int(name.removeprefix(NAMED).partition("-")[0]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
