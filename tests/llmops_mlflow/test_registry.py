"""The model registry says what was released, and what is live where."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from llmops_core.live import stop_environment
from llmops_core.rollback import rollback
from tests.conftest import Project

# MLflow's own queries still use what its SQLAlchemy will drop
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture
def stopping(project: Project) -> Iterator[None]:
    yield
    for environment in ("dev", "prod"):
        stop_environment(project.store, environment, project.plugins())


def versions(client: MlflowClient, name: str = "recipe") -> dict[str, ModelVersion]:
    """Release name -> the version that stands for it, with its aliases."""
    found = client.search_model_versions(f"name = '{name}'")
    whole = [client.get_model_version(one.name, one.version) for one in found]
    return {one.tags["llmops.release"]: one for one in whole}


def aliases(client: MlflowClient) -> dict[str, list[str]]:
    return {name: sorted(one.aliases) for name, one in sorted(versions(client).items())}


def test_a_release_becomes_one_version_with_its_name_and_digest(
    project: Project, client: MlflowClient
) -> None:
    run = project.run("track=mlflow")
    project.run("track=mlflow")
    (version,) = versions(client).values()
    assert version.tags["llmops.release"] == "r-1"
    assert version.tags["llmops.digest"] == run.step("release")["output"]
    assert version.source == f"file://{version.tags['llmops.folder']}"
    assert version.tags["llmops.gate.accuracy"] == "0.5"
    assert "1 of 1 gates passed" in version.description


@pytest.mark.usefixtures("stopping")
def test_the_alias_of_an_environment_follows_deployments_and_rollbacks(
    project: Project, client: MlflowClient
) -> None:
    project.run("track=mlflow", "deploy.keep=true")
    assert aliases(client) == {"r-1": ["dev"]}
    project.run("track=mlflow", "deploy.keep=true", "model.size=20")
    assert aliases(client) == {"r-1": [], "r-2": ["dev"]}
    project.run("track=mlflow", "deploy.keep=true", "+env=prod")
    assert aliases(client) == {"r-1": ["prod"], "r-2": ["dev"]}
    rollback(project.store, "dev", project.plugins())
    assert aliases(client) == {"r-1": ["dev", "prod"], "r-2": []}
    assert "replaced by r-1" in versions(client)["r-2"].tags["llmops.deployed.dev"]


@pytest.mark.usefixtures("stopping")
def test_where_nothing_is_live_any_more_no_alias_is_left(project: Project, client: MlflowClient) -> None:
    project.run("track=mlflow", "deploy.keep=true")
    project.run("track=mlflow")
    assert aliases(client) == {"r-1": []}
    assert "stopped after its probe" in versions(client)["r-1"].tags["llmops.deployed.dev"]


@pytest.mark.usefixtures("stopping")
def test_another_stores_alias_is_left_alone(project: Project, client: MlflowClient) -> None:
    client.create_registered_model("recipe")
    tags = {"llmops.release": "r-9", "llmops.digest": "f" * 64, "llmops.live.dev": "true"}
    other = client.create_model_version("recipe", "file:///elsewhere", tags=tags)
    client.set_registered_model_alias("recipe", "dev", other.version)
    project.run("track=mlflow")
    assert aliases(client) == {"r-1": [], "r-9": ["dev"]}


@pytest.mark.usefixtures("stopping")
def test_a_release_made_before_tracking_is_registered_when_it_goes_live(
    project: Project, client: MlflowClient
) -> None:
    project.run()
    project.run("track=mlflow", "track.mlflow.model=helper", "deploy.keep=true")
    (version,) = versions(client, "helper").values()
    assert version.aliases == ["dev"]


def test_the_registry_may_be_left_out(project: Project, client: MlflowClient) -> None:
    run = project.run("track=mlflow", "track.mlflow.registry=false")
    assert run.document.get("warnings", []) == []
    assert client.search_registered_models() == []
