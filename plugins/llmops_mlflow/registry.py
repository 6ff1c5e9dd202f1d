"""MLflow's model registry: a version for each release, an alias for what is live in each environment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from llmops_core.tracked import Live, TrackedRelease, TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DIGEST = "llmops.digest"
RELEASE = "llmops.release"


@dataclass(frozen=True)
class Registry:
    """The registered model of a recipe."""

    client: MlflowClient
    run: str
    model: str
    fixed: bool
    """Whether the recipe names the model; else each release stands with the recipe that made it."""
    remote: bool

    def version_of(self, release: TrackedRelease) -> ModelVersion:
        """The version of a release, made when there is none yet."""
        name = self._name(release)
        found = self._search(f"name = '{name}' and tags.`{DIGEST}` = '{release.digest}'")
        if found:
            return found[0]
        self._model(name)
        # a server takes no folder of ours as a source, so there it is told by its digest
        source = f"llmops://{release.name}/{release.digest}" if self.remote else release.folder.as_uri()
        tags = {RELEASE: release.name, DIGEST: release.digest, "llmops.folder": str(release.folder)}
        tags |= {f"llmops.gate.{gate}": f"{value:.6g}" for gate, value in release.gates.items()}
        return self.client.create_model_version(
            name, source, self.run, tags=tags, description=f"{release.name}: {release.result}"
        )

    def live(self, live: Live) -> None:
        """Let the environment's alias name what is live there, and nothing where nothing is.

        Versions that stand for other stores' releases keep their alias, unless this one takes it over.
        """
        alias = re.sub(r"[^\w\-]", "-", live.environment)
        version, tag = self.version_of(live.release), f"llmops.live.{live.environment}"
        for other in self._search(f"tags.`{tag}` = 'true'"):
            same = (other.name, other.version) == (version.name, version.version)
            if other.tags.get(DIGEST) in live.ours and not (same and live.live):
                self.client.delete_model_version_tag(other.name, other.version, tag)
                self._tell(other, live, other.tags[DIGEST])
                if self._holder(other.name, alias) == str(other.version):
                    self.client.delete_registered_model_alias(other.name, alias)
        self._tell(version, live, live.release.digest)
        if live.live:
            self.client.set_registered_model_alias(version.name, alias, version.version)
            self.client.set_model_version_tag(version.name, version.version, tag, "true")

    def _tell(self, version: ModelVersion, live: Live, digest: str) -> None:
        tag = f"llmops.deployed.{live.environment}"
        self.client.set_model_version_tag(version.name, version.version, tag, live.told.get(digest, ""))

    def _name(self, release: TrackedRelease) -> str:
        name = self.model if self.fixed else release.recipe
        if not name:
            found = self._search(f"tags.`{DIGEST}` = '{release.digest}'")
            if not found:
                raise TrackingError(
                    f"{release.name} cannot be registered: the record of the run that made it is gone",
                    remedy="Name the registered model: model=NAME.",
                )
            return str(found[0].name)
        return re.sub(r"[/:.'%\"]", "-", name)

    def _model(self, name: str) -> None:
        try:
            self.client.create_registered_model(name, tags={"llmops": "true"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _search(self, filter_string: str) -> list[ModelVersion]:
        return list(self.client.search_model_versions(filter_string, max_results=100))

    def _holder(self, name: str, alias: str) -> str:
        try:
            return str(self.client.get_model_version_by_alias(name, alias).version)
        except MlflowException:
            return ""  # the alias was taken away by hand
