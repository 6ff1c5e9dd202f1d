"""Runs are found in the archive that Comet's offline mode writes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from llmops_comet.tracker import move_tag
from llmops_core.errors import GateRefused
from llmops_core.runner import RunOptions
from llmops_core.tracked import Live, TrackedRelease
from tests.conftest import Project

pytest.importorskip("comet_ml", reason="Comet's client is not installed: pip install 'llmops[comet]'")

OFFLINE = ("track=comet", "track.comet.mode=offline")


def archive(project: Project) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An experiment's head, and its messages in order."""
    (path,) = (project.store.root / "comet").glob("*.zip")
    with zipfile.ZipFile(path) as files:
        head = json.loads(files.read("experiment.json"))
        messages = [json.loads(line) for line in files.read("messages.json").splitlines()]
    return head, messages


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one["payload"] for one in messages if one["type"] == kind]


def others(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in of(messages, "log_other")}


def test_an_offline_experiment_holds_config_numbers_outputs_and_release(project: Project) -> None:
    run = project.run(*OFFLINE, "train.lr=0.5", options=RunOptions(name="first", tags=["try"]))
    assert run.document.get("warnings", []) == []
    head, messages = archive(project)
    assert (head["project_name"], sorted(head["tags"])) == ("recipe", ["dev", "try"])
    parameters = {
        one["param"]["paramName"]: one["param"]["paramValue"] for one in of(messages, "parameter_msg")
    }
    assert parameters["train.lr"] == 0.5
    metrics = [one["metric"] for one in of(messages, "metric_msg")]
    assert [(one["step"], one["metricValue"]) for one in metrics if one["metricName"] == "train/loss"] == [
        (0, 1.0),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    said = others(messages)
    assert said["Name"] == "first" and said["llmops.status"] == "done"
    assert said["llmops.step.train.digest"] == run.step("train")["output"]
    places = {one["additional_params"]["fileName"]: one["remote_uri"] for one in of(messages, "remote_file")}
    assert (Path(places["data"].removeprefix("file://")) / "train.jsonl").is_file()
    (registered,) = of(messages, "register_model")
    assert (registered["model_name"], registered["version"]) == ("recipe", "1.0.0")
    assert registered["tags"] == ["r-1", run.step("release")["output"]]


def test_a_release_is_registered_by_the_run_that_made_it_alone(project: Project) -> None:
    project.run()
    project.run(*OFFLINE)
    _, messages = archive(project)
    assert not of(messages, "register_model")
    assert others(messages)["llmops.release"] == "r-1"


def test_a_refused_run_says_so(project: Project) -> None:
    with pytest.raises(GateRefused):
        project.run(*OFFLINE, "release.at_least=0.9")
    said = others(archive(project)[1])
    assert said["llmops.status"] == "refused" and "below 0.9" in said["llmops.error"]


def test_without_a_key_the_run_goes_on_and_says_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    monkeypatch.setenv("COMET_CONFIG", str(project.folder / "none"))
    run = project.run("track=comet")
    (warning,) = run.document["warnings"]
    assert "COMET_API_KEY" in warning and "mode=offline" in warning


class Registry:
    """A registered model as Comet's client offers it."""

    def __init__(self, tags: dict[str, list[str]]) -> None:
        self.by_version = tags

    def find_versions(self, tag: str) -> list[str]:
        return [version for version, tags in self.by_version.items() if tag in tags]

    def tags(self, version: str) -> list[str]:
        return self.by_version[version]

    def add_tag(self, version: str, tag: str) -> None:
        self.by_version[version] = sorted({*self.by_version[version], tag})

    def delete_tag(self, version: str, tag: str) -> None:
        self.by_version[version].remove(tag)


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (True, {"1.0.0": ["aa"], "2.0.0": ["bb", "dev"], "9.0.0": ["dev", "zz"]}),
        (False, {"1.0.0": ["aa"], "2.0.0": ["bb"], "9.0.0": ["dev", "zz"]}),
    ],
)
def test_the_environments_tag_moves_among_our_own_versions(
    live: bool, expected: dict[str, list[str]]
) -> None:
    model = Registry({"1.0.0": ["aa", "dev"], "2.0.0": ["bb"], "9.0.0": ["dev", "zz"]})
    release = TrackedRelease("r-2", "bb", Path("/"), "2", "recipe", {}, "")
    move_tag(model, Live("dev", release, live, {}, frozenset({"aa", "bb"})))
    assert model.by_version == expected
