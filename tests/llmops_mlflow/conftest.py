"""One MLflow database with its tables made, copied for each test: making them takes seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import Project


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}", registry_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(project: Project, empty_database: Path) -> MlflowClient:
    """A client of the database that a recipe with `track=mlflow` writes to."""
    path = project.store.root / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_database, path)
    return MlflowClient(tracking_uri=f"sqlite:///{path}", registry_uri=f"sqlite:///{path}")
