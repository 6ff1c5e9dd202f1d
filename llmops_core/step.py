"""What a running step may use: where to write, its seed, secrets, parts, addresses, and telling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmops_core import events
from llmops_core.artifacts import Artifact
from llmops_core.errors import SecretError
from llmops_core.place import Place
from llmops_core.settings import Part

SECRET_OPENS = "${secret:"


def secret_name(reference: str) -> str:
    """The name in "${secret:NAME}"; raises SecretError for anything else (which is not echoed)."""
    if reference.startswith(SECRET_OPENS) and reference.endswith("}"):
        return reference[len(SECRET_OPENS) : -1]
    raise SecretError("this value is not a secret's name", remedy="Write ${secret:NAME}.")


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """One step being run. Built by the core; a test may build one with a folder and little else."""

    folder: Path
    """Empty; what the step writes here becomes its artifact's files."""
    scratch: Path
    """Kept when the step fails or is killed, and given back when the same step is tried again:
    checkpoints, downloads in part. Removed once the step has given its artifact."""
    cache: Path
    """Shared by every run on this store: what `fetch` brought."""
    state: Path
    """The store's root, `.llmops`."""
    step: str = "step"
    run: str = "0"
    environment: str = "dev"
    seed: int = 0
    offline: bool = False
    place: Place = field(default_factory=Place)
    """Among the processes that run this step together. What others than the first write is not kept."""
    inputs: Mapping[str, Artifact] = field(default_factory=dict)
    """Slot -> the artifact that fills it; an absent optional slot is left out."""
    loader: Callable[[Part], Callable[..., Any]] | None = None
    tell: Callable[[events.Event], None] = field(default=lambda event: None)
    read_secret: Callable[[str], str] | None = None

    def load(self, part: Part) -> Callable[..., Any]:
        """The function of the implementation chosen for a part of this step."""
        if self.loader is None:
            raise LookupError(f"no loader for {part.group}={part.use}")
        return self.loader(part)

    def secret(self, reference: str) -> str:
        """The value behind "${secret:NAME}", read now. It can reach no record: records are redacted."""
        name = secret_name(reference)
        if self.read_secret is None:
            raise SecretError(f"the secret {name} is not set", remedy=f"Set the environment variable {name}.")
        return self.read_secret(name)

    def fetch(
        self,
        address: str,
        sha256: str = "",
        *,
        token: str = "",
        options: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> Path:
        """Bring what lies at `address`, checked against `sha256`, and give where it now lies.

        `token` is a secret's reference, for addresses that need one. `options` and `secrets` (references)
        are what fsspec's file system for the address is opened with. Raises FetchError, OfflineError,
        SecretError.
        """
        from llmops_core.fetch import fetch

        come = 0

        def count(done: int, total: int) -> None:
            nonlocal come
            come = done
            self.tell(events.Progress(self.step, done, total, {}))

        secret = self.secret(token) if token else ""
        known = {**(options or {}), **{name: self.secret(one) for name, one in (secrets or {}).items()}}
        place = fetch(
            address,
            sha256,
            cache=self.cache,
            offline=self.offline,
            token=secret,
            tell=count,
            options=known,
        )
        if come:
            self.tell(events.Fetched(self.step, address, come))
        return place

    def progress(self, done: float, total: float, **numbers: float) -> None:
        """How far the step is, and numbers worth watching."""
        self.tell(events.Progress(self.step, done, total, numbers))

    def metric(self, name: str, value: float, at: int | None = None) -> None:
        """A number to keep with the run (a point of a curve when `at` is given)."""
        self.tell(events.Metric(self.step, name, value, at))

    def answering(self, url: str, process: int) -> None:
        """From now on what this deploy step put up is live: told as soon as it answers, so that the
        journal knows of it even when nobody lives to see the step end."""
        self.tell(events.Answering(self.step, url, process))

    def log(self, text: str) -> None:
        """A line for a person."""
        self.tell(events.Log(self.step, text))

    def warn(self, text: str) -> None:
        """A line a person should not miss; it stays in the run's record."""
        self.tell(events.Log(self.step, text, "warning"))
