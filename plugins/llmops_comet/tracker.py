"""One run in Comet, where it is an experiment."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from llmops_comet.config import CometTrack
from llmops_core.tracked import Ended, Live, Output, Point, TrackedRelease, TrackedRun, TrackingError

QUIET = {
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_DISABLE_ANNOUNCEMENT": "1",
    "COMET_ERROR_TRACKING_ENABLE": "false",
}
"""Comet's client would patch other libraries, advertise, and report its own errors home."""


def start(config: CometTrack, run: TrackedRun) -> CometTracker:
    """Begin an experiment, with its parameters. Raises TrackingError, SecretError, Comet's own errors."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import comet_ml

    logging.getLogger("comet_ml").setLevel(logging.ERROR)
    online = config.mode == "online" and not run.offline
    folder = run.store / "comet"
    folder.mkdir(parents=True, exist_ok=True)
    off = ("log_code", "log_graph", "parse_args", "log_git_metadata", "log_git_patch", "log_env_details")
    automatic = ("auto_output_logging", "auto_param_logging", "auto_metric_logging", "auto_log_co2")
    switched: dict[str, Any] = dict.fromkeys((*off, *automatic), False)
    made = comet_ml.start(
        api_key=_key(config, run) if online else None,
        workspace=config.workspace,
        project_name=config.project or run.recipe,
        online=online,
        mode="create",
        experiment_config=comet_ml.ExperimentConfig(
            name=run.title,
            tags=[*run.labels, run.environment],
            offline_directory=str(folder),
            display_summary_level=0,
            disabled=False,
            **switched,
        ),
    )
    made.log_parameters(dict(run.parameters))
    made.log_others(dict(run.tags))
    return CometTracker(made, config, run, online)


def _key(config: CometTrack, run: TrackedRun) -> str:
    from comet_ml.config import get_config

    key = run.secret(config.api_key) if config.api_key else get_config("comet.api_key")
    if not key:
        # the client would ask on the terminal, where the run shows its progress
        raise TrackingError("Comet has no API key", remedy="Set COMET_API_KEY, or track with mode=offline.")
    return str(key)


class CometTracker:
    """An experiment that is going on."""

    def __init__(self, made: Any, config: CometTrack, run: TrackedRun, online: bool) -> None:
        self.made = made
        self.config = config
        self.run = run
        self.online = online
        self.address = made.url if online else str(run.store / "comet" / f"{made.get_key()}.zip")

    def points(self, points: Sequence[Point]) -> None:
        """Log numbers as "STEP/NAME"."""
        for one in points:
            self.made.log_metric(f"{one.step}/{one.name}", one.value, step=one.at, include_context=False)

    def output(self, output: Output) -> None:
        """Note where a step's files lie: a remote asset is a reference, nothing is sent."""
        for name, value in output.scores.items():
            self.made.log_metric(f"{output.step}/{name}", value, include_context=False)
        said = {"digest": output.digest, "kind": output.kind, "result": output.result}
        self.made.log_others({f"llmops.step.{output.step}.{name}": value for name, value in said.items()})
        self.made.log_remote_asset(output.folder.as_uri(), remote_file_name=output.step, metadata=said)

    def released(self, release: TrackedRelease) -> None:
        """Register a release that this run made; one taken from the store was registered by its own run."""
        self.made.log_other("llmops.release", release.name)
        if not self.config.registry or release.run != self.run.id:
            return
        model = self._model(release)
        said = {"release": release.name, "digest": release.digest, "folder": str(release.folder)}
        self.made.log_remote_model(model, release.folder.as_uri(), metadata=said, sync_mode=False)
        self.made.register_model(
            model,
            version=version_of(release.name),
            workspace=self.config.workspace,
            description=release.result,
            tags=[release.name, release.digest],
            sync=self.online,
        )

    def live(self, live: Live) -> None:
        """Move the environment's tag among the versions; offline there is none, and it is noted."""
        self.made.log_other(f"llmops.live.{live.environment}", live.release.name if live.live else "")
        if self.config.registry and self.online:
            from comet_ml.api import API

            workspace = self.config.workspace or self.made.workspace
            api = API(api_key=self.made.api_key)  # type: ignore[no-untyped-call]
            move_tag(api.get_model(workspace, self._model(live.release)), live)

    def end(self, ended: Ended) -> None:
        """Log the report and how the run ended."""
        self.made.log_others({"llmops.status": ended.status, "llmops.error": ended.error})
        try:
            self.made.log_asset_data({"steps": list(ended.steps)}, name="steps.json")
            if ended.report is not None:
                self.made.log_html(ended.report.read_text(encoding="utf-8"))
        finally:
            self.made.end()

    def _model(self, release: TrackedRelease) -> str:
        return self.config.model or release.recipe or self.run.recipe


def version_of(release: str) -> str:
    """Comet's versions have three numbers: "r-4" is 4.0.0."""
    return f"{release.rpartition('-')[2]}.0.0"


def move_tag(model: Any, live: Live) -> None:
    """Let the environment's tag stand at what is live there alone, as far as versions are this store's."""
    wanted = version_of(live.release.name) if live.live else ""
    for version in model.find_versions(tag=live.environment):
        if version != wanted and not live.ours.isdisjoint(model.tags(version)):
            model.delete_tag(version, live.environment)
    if wanted:
        model.add_tag(wanted, live.environment)
