"""Runs are found in MLflow as they happened."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from llmops_core.errors import GateRefused
from llmops_core.hookspecs import hookimpl
from llmops_core.runner import RunOptions
from tests.conftest import CommandLine, Project

# MLflow's own queries still use what its SQLAlchemy will drop
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def recorded(client: MlflowClient, name: str = "recipe") -> list[Run]:
    """The runs of an experiment, the oldest first."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def test_a_run_stands_in_mlflow_with_its_config_numbers_and_outputs(
    project: Project, client: MlflowClient
) -> None:
    run = project.run("track=mlflow", "train.lr=0.5", options=RunOptions(name="first", tags=["try"]))
    assert run.document.get("warnings", []) == []
    (found,) = recorded(client)
    assert found.info.status == "FINISHED" and found.info.run_name == "first"
    assert found.data.params["train.lr"] == "0.5" and found.data.params["train.tuning.use"] == "small"
    assert found.data.tags["llmops.run"] == run.id
    assert found.data.tags["llmops.environment"] == "dev"
    assert found.data.tags["llmops.tag.try"] == "true"
    assert found.data.tags["llmops.step.train"] == run.step("train")["output"]
    assert found.data.metrics["evaluate/accuracy"] == 0.5
    curve = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(one.step, one.value) for one in curve] == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    (dataset,) = found.inputs.dataset_inputs
    assert dataset.dataset.digest == run.step("data")["output"][:36]
    description = found.data.tags["mlflow.note.content"]
    assert "| evaluate | fake | done | accuracy 0.5, on 4 rows |" in description
    assert run.document["tracked"]["mlflow"].startswith(f"mlflow run {found.info.run_id}")


def test_artifacts_are_references_beside_the_report(project: Project, client: MlflowClient) -> None:
    run = project.run("track=mlflow")
    (found,) = recorded(client)
    assert {one.path for one in client.list_artifacts(found.info.run_id)} == {"steps.json", "report.html"}
    place = Path(found.info.artifact_uri.removeprefix("file://"))
    assert place.is_relative_to(project.store.root)
    steps = json.loads((place / "steps.json").read_text())["steps"]
    assert [step["output"] for step in steps] == [step["output"] for step in run.document["steps"]]
    assert (Path(steps[0]["folder"]) / "train.jsonl").is_file()
    written = {path.name for path in project.folder.iterdir()}
    assert written == {".llmops", "recipe.yaml"}


def test_each_way_a_run_can_end_has_a_status(project: Project, client: MlflowClient) -> None:
    with pytest.raises(Exception, match="out of order"):
        project.run("track=mlflow", "data.fail=out of order")
    with pytest.raises(GateRefused):
        project.run("track=mlflow", "release.at_least=0.9")

    @hookimpl
    def llmops_run_step(step: Any, run: Any) -> Any:
        raise KeyboardInterrupt

    project.extra = [("impatient", SimpleNamespace(llmops_run_step=llmops_run_step))]
    with pytest.raises(KeyboardInterrupt):
        project.run("track=mlflow", "data.rows=5")
    found = recorded(client)
    assert [one.info.status for one in found] == ["FAILED", "FAILED", "KILLED"]
    assert [one.data.tags["llmops.status"] for one in found] == ["failed", "refused", "interrupted"]
    assert "out of order" in found[0].data.tags["llmops.error"]


def test_a_database_and_experiment_of_ones_own(project: Project, empty_database: Path) -> None:
    place = project.folder / "team.db"
    place.write_bytes(empty_database.read_bytes())
    project.run("track=mlflow", f"track.mlflow.uri=sqlite:///{place}", "track.mlflow.experiment=shared")
    client = MlflowClient(tracking_uri=f"sqlite:///{place}", registry_uri=f"sqlite:///{place}")
    assert len(recorded(client, "shared")) == 1
    assert not (project.store.root / "mlflow.db").exists()


def test_two_runs_at_once_make_the_tables_of_one_new_database(project: Project, llmops: CommandLine) -> None:
    both = [llmops.start("run", "./recipe.yaml", "track=mlflow", f"seed={seed}", "--json") for seed in (1, 2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert json.loads(out).get("warnings", []) == []
    path = project.store.root / "mlflow.db"
    assert len(recorded(MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}"))) == 2


def test_a_long_config_is_sent_in_parts(project: Project, client: MlflowClient) -> None:
    steps = ", ".join(f"s{number}: {{use: share}}" for number in range(120))
    run = project.run("track=mlflow", f"data.steps={{{steps}}}")
    assert run.document.get("warnings", []) == []
    assert len(recorded(client)[0].data.params) > 240


def test_a_server_that_is_not_there_is_told_and_the_run_is_done(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = project.run("track=mlflow", "track.mlflow.uri=http://127.0.0.1:9")
    assert run.document["status"] == "done"
    (warning,) = run.document["warnings"]
    assert "mlflow" in warning and "127.0.0.1" in warning


def test_a_server_is_not_asked_when_the_network_is_forbidden(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_OFFLINE", "1")
    run = project.run("track=mlflow", "track.mlflow.uri=http://127.0.0.1:9")
    (warning,) = run.document["warnings"]
    assert "LLMOPS_OFFLINE" in warning


@pytest.mark.parametrize(
    ("override", "what"),
    [("uri=postgresql://127.0.0.1:9/x", "uri"), ("artifacts=s3://bucket/x", "artifacts")],
)
def test_no_other_place_on_the_network_is_used_when_it_is_forbidden(
    project: Project, monkeypatch: pytest.MonkeyPatch, override: str, what: str
) -> None:
    monkeypatch.setenv("LLMOPS_OFFLINE", "1")
    run = project.run("track=mlflow", f"track.mlflow.{override}")
    (warning,) = run.document["warnings"]
    assert f"MLflow's {what} would need the network, which LLMOPS_OFFLINE forbids" in warning


def test_a_databases_address_may_be_a_secret(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DATABASE", f"sqlite:///{tmp_path}/hidden-place.db")
    run = project.run("track=mlflow", "track.mlflow.database=${secret:MLFLOW_DATABASE}")
    assert run.document.get("warnings", []) == []
    assert recorded(MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/hidden-place.db"))
    assert "hidden-place" not in (run.folder / "manifest.json").read_text()


def test_a_password_in_the_address_is_refused_and_not_echoed(project: Project) -> None:
    (problem,) = project.problems("track=mlflow", "track.mlflow.uri=postgresql://me:hunter2@db/x")
    assert "uri holds a password" in problem.what and "hunter2" not in str(problem)


def test_no_secret_is_written_to_the_database(
    project: Project, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_TOKEN", "correct-horse-battery")
    with pytest.raises(Exception, match="cannot log in"):
        project.run("track=mlflow", "data.token=${secret:DATA_TOKEN}", "data.fail=secret")
    (found,) = recorded(client)
    assert found.data.params["data.token"] == "${secret:DATA_TOKEN}"
    assert "cannot log in with [secret]" in found.data.tags["llmops.error"]
    for path in project.store.root.rglob("*"):
        assert not path.is_file() or b"correct-horse-battery" not in path.read_bytes(), path
