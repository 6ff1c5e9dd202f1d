"""One run in MLflow, through its client: its fluent API knows one active run a process."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmops_core.errors import OfflineError
from llmops_core.files import locked
from llmops_core.tracked import Ended, Live, Output, Point, TrackedRelease, TrackedRun, text
from llmops_mlflow.config import MLflowTrack
from llmops_mlflow.registry import Registry

if TYPE_CHECKING:
    from mlflow import MlflowClient

STATUS = {"done": "FINISHED", "interrupted": "KILLED"}
"""MLflow's word for how a run ended; any other is FAILED."""
PARAMETERS = 100
"""Parameters and tags that MLflow takes at once."""
LONGEST_KEY, LONGEST_PARAMETER, LONGEST_TAG = 250, 6000, 8000
"""Characters that MLflow takes; more is cut."""
REMOTE = ("http://", "https://", "databricks")


def start(config: MLflowTrack, run: TrackedRun) -> MLflowTracker:
    """Begin a run in MLflow, with its parameters and tags. Raises OfflineError, MlflowException."""
    uri = run.secret(config.database) if config.database else config.uri
    uri = uri or f"sqlite:///{run.store / 'mlflow.db'}"
    remote = uri.startswith(REMOTE)
    away = [name for name, place in (("uri", uri), ("artifacts", config.artifacts)) if not _is_here(place)]
    if away and run.offline:
        what = f"MLflow's {' and '.join(away)} would need the network, which LLMOPS_OFFLINE forbids"
        raise OfflineError(what, remedy=f"Unset LLMOPS_OFFLINE, or leave out {' and '.join(away)}.")
    place = None if remote else config.artifacts or (run.store / "mlflow-artifacts").as_uri()
    # one process at a time: the first to open a database makes its tables
    with locked(run.store / "locks" / "mlflow.lock"):
        client = _client(uri, config)
        experiment = _experiment(client, config.experiment or run.recipe, place)
    tags = {
        "mlflow.runName": run.title,
        "mlflow.source.name": f"llmops run {run.recipe}",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": run.tags.get("llmops.git_commit", ""),
        "mlflow.note.content": run.about,
        **run.tags,
        **{f"llmops.tag.{label}": "true" for label in run.labels},
    }
    made = client.create_run(
        experiment,
        start_time=int(run.started * 1000),
        tags={name[:LONGEST_KEY]: value[:LONGEST_TAG] for name, value in tags.items() if value},
        run_name=run.title,
    )
    tracker = MLflowTracker(client, made.info.run_id, uri, config, run)
    tracker.parameters()
    return tracker


def _is_here(place: str) -> bool:
    """Whether a place is reached without a network: a path, or an address of a file."""
    scheme, colon, _ = place.partition(":")
    return not colon or scheme == "file" or scheme.partition("+")[0] == "sqlite"


def _client(uri: str, config: MLflowTrack) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # standard output is the run's own: a program may read it
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(config.timeout)))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # MLflow tells on standard error how it makes its tables
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _experiment(client: MlflowClient, name: str, place: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another run was quicker
            if found is None:
                raise
    return str(found.experiment_id)


def _now() -> int:
    return int(time.time() * 1000)


class MLflowTracker:
    """A run in MLflow that is going on."""

    def __init__(self, client: MlflowClient, id: str, uri: str, config: MLflowTrack, run: TrackedRun) -> None:
        self.client = client
        self.id = id
        self.run = run
        remote = uri.startswith(REMOTE)
        self.address = f"mlflow run {id}" if config.database else f"mlflow run {id} in {uri}"
        model = config.model or run.recipe
        self.registry = Registry(client, id, model, bool(config.model), remote) if config.registry else None

    def parameters(self) -> None:
        """Send the resolved config, as many values at once as MLflow takes."""
        from mlflow.entities import Param

        found = [
            Param(name[:LONGEST_KEY], text(value)[:LONGEST_PARAMETER])
            for name, value in self.run.parameters.items()
        ]
        for begin in range(0, len(found), PARAMETERS):
            self.client.log_batch(self.id, params=found[begin : begin + PARAMETERS])

    def points(self, points: Sequence[Point]) -> None:
        """Send numbers as "STEP/NAME", each with its own time."""
        from mlflow.entities import Metric

        self.client.log_batch(
            self.id,
            metrics=[
                Metric(f"{one.step}/{one.name}", one.value, int(one.time * 1000), one.at or 0)
                for one in points
            ],
        )

    def output(self, output: Output) -> None:
        """Tag the run with the digest of what a step gave; a dataset is also one of MLflow's own, scores are
        metrics."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, RunTag

        tags = [RunTag(f"llmops.step.{output.step}", output.digest)]
        scores = [Metric(f"{output.step}/{name}", value, _now(), 0) for name, value in output.scores.items()]
        self.client.log_batch(self.id, metrics=scores, tags=tags)
        if output.kind == "Dataset":
            source = json.dumps({"uri": str(output.folder)})
            dataset = Dataset(output.step, output.digest[:36], "local", source)
            context = InputTag("mlflow.data.context", output.step)
            self.client.log_inputs(self.id, [DatasetInput(dataset, [context])])

    def released(self, release: TrackedRelease) -> None:
        """Tag the run with its release, and see that the registry has it."""
        self.client.set_tag(self.id, "llmops.release", release.name)
        if self.registry is not None:
            self.registry.version_of(release)

    def live(self, live: Live) -> None:
        """Move the alias of the environment."""
        self.client.set_tag(
            self.id, f"llmops.live.{live.environment}", live.release.name if live.live else ""
        )
        if self.registry is not None:
            self.registry.live(live)

    def end(self, ended: Ended) -> None:
        """Send the list of steps and the report, and close the run."""
        self.client.set_tag(self.id, "llmops.status", ended.status)
        self.client.set_tag(self.id, "mlflow.note.content", description(self.run, ended)[:LONGEST_TAG])
        if ended.error:
            self.client.set_tag(self.id, "llmops.error", ended.error[:LONGEST_TAG])
        try:
            self.client.log_dict(self.id, {"steps": list(ended.steps)}, "steps.json")
            if ended.report is not None:
                self.client.log_artifact(self.id, str(ended.report))
        finally:
            self.client.set_terminated(self.id, STATUS.get(ended.status, "FAILED"))


def description(run: TrackedRun, ended: Ended) -> str:
    """What MLflow shows above a run, in Markdown: what it was for, and a line for each step."""
    rows = [
        f"| {step['name']} | {step['use']} | {step['status']} | {_cell(step.get('result'))} "
        f"| {_code(str(step.get('output', ''))[:12])} |"
        for step in ended.steps
    ]
    head = ["| step | by | status | result | digest |", "|---|---|---|---|---|"]
    error = [f"**{ended.status}**: {ended.error}", ""] if ended.error else []
    outside = ["", f"`llmops runs show {run.id}` in {_code(str(run.store))}"]
    return "\n".join([run.about, "", *error, *head, *rows, *outside])


def _cell(value: object) -> str:
    return str(value or "").replace("|", "\\|").replace("\n", " ")


def _code(value: str) -> str:
    return f"`{value}`" if value else ""
