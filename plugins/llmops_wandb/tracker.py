"""One run in Weights & Biases."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llmops_core.tracked import Ended, Live, Output, Point, TrackedRelease, TrackedRun, TrackingError
from llmops_wandb.config import WandbTrack

EXIT = {"done": 0, "refused": 3, "interrupted": 130}
"""W&B goes by exit statuses; any other end is 1."""
HOST = "https://api.wandb.ai"


def start(config: WandbTrack, run: TrackedRun) -> WandbTracker:
    """Begin a run in W&B, with its parameters. Raises TrackingError, SecretError, wandb.Error."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")  # the settings below come too late for its login
    import wandb

    online = config.mode == "online" and not run.offline
    settings: dict[str, Any] = {
        "silent": True,
        "console": "off",  # what a run prints is in its own log, without secrets
        "disable_git": True,
        "disable_code": True,
        "save_code": False,
        "disable_job_creation": True,
        "host": "-",  # records name no host
        "x_disable_meta": True,
        "x_save_requirements": False,
        "x_disable_stats": True,
        "x_disable_machine_info": True,
        "reinit": "create_new",
        "finish_timeout": config.wait,
        "init_timeout": max(config.wait, 1),
    }
    if config.url:
        settings["base_url"] = config.url
    if online:
        settings["api_key"] = _key(config, run)
    made = wandb.init(
        project=config.project or run.recipe,
        entity=config.entity,
        name=run.title,
        notes=run.about,
        dir=str(run.store),
        mode="online" if online else "offline",
        config={**run.parameters, **run.tags},
        tags=[*run.labels, run.environment],
        settings=wandb.Settings(**{name: value for name, value in settings.items() if value is not None}),
    )
    return WandbTracker(made, config, run, online)


def _key(config: WandbTrack, run: TrackedRun) -> str | None:
    """The key that the recipe names; None where the client finds one itself."""
    if config.api_key:
        return run.secret(config.api_key)
    from requests.utils import get_netrc_auth

    host = config.url or os.environ.get("WANDB_BASE_URL") or HOST
    if not os.environ.get("WANDB_API_KEY") and get_netrc_auth(host) is None:
        # the client would ask on the terminal, where the run shows its progress
        raise TrackingError("W&B has no API key", remedy="Set WANDB_API_KEY, or track with mode=offline.")
    return None


class WandbTracker:
    """A run in W&B that is going on."""

    def __init__(self, made: Any, config: WandbTrack, run: TrackedRun, online: bool) -> None:
        self.made = made
        self.config = config
        self.run = run
        self.online = online
        self.address = str(made.url if online else made.settings.sync_dir)
        self._counted: set[str] = set()

    def points(self, points: Sequence[Point]) -> None:
        """Log numbers as "STEP/NAME", drawn over "STEP/at"; those without a count go into the summary."""
        for (step, at), group in itertools.groupby(points, key=lambda one: (one.step, one.at)):
            values = {f"{step}/{one.name}": one.value for one in group}
            if at is None:
                self.made.summary.update(values)
                continue
            if step not in self._counted:
                self._counted.add(step)
                self.made.define_metric(f"{step}/at", hidden=True)
                self.made.define_metric(f"{step}/*", step_metric=f"{step}/at")
            self.made.log({**values, f"{step}/at": at})

    def output(self, output: Output) -> None:
        """Log an artifact that refers to the files where they lie."""
        self.made.summary.update({f"{output.step}/{name}": value for name, value in output.scores.items()})
        said = {"digest": output.digest, "folder": str(output.folder), "result": output.result}
        self.made.summary.update({f"llmops/{output.step}/{name}": value for name, value in said.items()})
        if not output.reused:
            name = f"{self.run.recipe}-{output.step}"
            self._log(name, output.kind.lower(), said, str(output.folder.as_uri()), [])

    def released(self, release: TrackedRelease) -> None:
        """Give the model artifact a version for the release, with its name as an alias."""
        self.made.summary["llmops/release"] = release.name
        if self.config.registry:
            self._version(release, [release.name])

    def live(self, live: Live) -> None:
        """Move the environment's alias to what is live there; offline it moves when the run is sent."""
        self.made.summary[f"llmops/live/{live.environment}"] = live.release.name if live.live else ""
        if not self.config.registry:
            return
        if live.live:
            # W&B knows a version by its content: the same release is no second version
            self._version(live.release, [live.release.name, live.environment])
        elif self.online:
            import wandb

            path = f"{self.made.entity}/{self.made.project}/{self._model(live.release)}"
            take_alias(wandb.Api(), path, live.environment, live.ours)

    def end(self, ended: Ended) -> None:
        """Log the report and how the run ended."""
        import wandb

        self.made.summary["llmops/status"] = ended.status
        if ended.error:
            self.made.summary["llmops/error"] = ended.error
        try:
            if ended.report is not None:
                self.made.log({"report": wandb.Html(str(ended.report), inject=False)})
        finally:
            self.made.finish(exit_code=EXIT.get(ended.status, 1))

    def _version(self, release: TrackedRelease, aliases: list[str]) -> None:
        said = {"release": release.name, "digest": release.digest, "folder": str(release.folder)}
        gates = {f"gate.{name}": value for name, value in release.gates.items()}
        self._log(self._model(release), "model", {**said, **gates}, release.folder.as_uri(), aliases)

    def _model(self, release: TrackedRelease) -> str:
        return _name(self.config.model or release.recipe or self.run.recipe)

    def _log(self, name: str, kind: str, said: Mapping[str, Any], place: str, aliases: list[str]) -> None:
        import wandb

        artifact = wandb.Artifact(_name(name), type=kind, metadata=dict(said))
        # by reference, and without reading the files: their digest is the store's
        artifact.add_reference(place, checksum=False)
        self.made.log_artifact(artifact, aliases=aliases)


def _name(text: str) -> str:
    return re.sub(r"[^\w.\-]", "-", text)


def take_alias(api: Any, path: str, alias: str, ours: frozenset[str]) -> None:
    """Take an alias from the version of an artifact that has it, if that stands for one of our releases."""
    if not api.artifact_exists(f"{path}:{alias}"):
        return
    artifact = api.artifact(f"{path}:{alias}")
    if artifact.metadata.get("digest") in ours:
        artifact.aliases = [one for one in artifact.aliases if one != alias]
        artifact.save()
