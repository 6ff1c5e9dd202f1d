"""Runs are found in what Weights & Biases' offline mode writes."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_core.errors import GateRefused
from llmops_core.live import stop_environment
from llmops_core.runner import RunOptions
from llmops_wandb.tracker import take_alias
from tests.conftest import Project

pytest.importorskip(
    "wandb", reason="the client of Weights & Biases is not installed: pip install 'llmops[wandb]'"
)

BLOCK, HEAD, OPENS = 32768, 7, 7
"""A file of W&B is a log of records in blocks, as LevelDB's are."""
OFFLINE = ("track=wandb", "track.wandb.mode=offline")


def records(project: Project) -> list[Any]:
    """What an offline run holds, in order."""
    from wandb.proto import wandb_internal_pb2

    (path,) = (project.store.root / "wandb").glob("offline-run-*/*.wandb")
    until = time.monotonic() + 20
    while time.monotonic() < until:  # W&B's own process writes the file, and may be a moment behind
        found = []
        for content in _contents(path):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            found.append(record)
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.05)
    raise AssertionError(f"{path} holds {len(found)} records and no end")


def _contents(path: Path) -> Iterator[bytes]:
    data, place, part = path.read_bytes(), OPENS, b""
    while place + HEAD <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEAD:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEAD])
        part += data[place + HEAD : place + HEAD + length]
        place += HEAD + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield part
            part = b""


def of(found: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def summary(found: list[Any]) -> dict[str, Any]:
    updates = [one for record in of(found, "summary") for one in record.update]
    return {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in updates}


def test_an_offline_run_holds_config_numbers_outputs_and_release(project: Project) -> None:
    run = project.run(*OFFLINE, "train.lr=0.5", options=RunOptions(name="first", tags=["try"]))
    assert run.document.get("warnings", []) == []
    found = records(project)
    (begun,) = of(found, "run")
    config = {one.key: json.loads(one.value_json) for one in begun.config.update}
    assert (begun.display_name, begun.project, sorted(begun.tags)) == ("first", "recipe", ["dev", "try"])
    assert config["train.lr"] == 0.5 and config["llmops.run"] == run.id
    assert begun.host == "-"
    curve = [
        {"/".join(item.nested_key): item.value_json for item in one.item} for one in of(found, "history")
    ]
    assert [(one["train/at"], one["train/loss"][:4]) for one in curve if "train/loss" in one] == [
        ("0", "1"),
        ("1", "0.5"),
        ("2", "0.33"),
    ]
    said = summary(found)
    assert said["evaluate/accuracy"] == 0.5 and said["llmops/status"] == "done"
    artifacts = {one.name: one for one in of(found, "artifact")}
    assert json.loads(artifacts["recipe-data"].metadata)["digest"] == run.step("data")["output"]
    (entry,) = artifacts["recipe-data"].manifest.contents
    assert entry.ref.endswith("/train.jsonl") and not entry.local_path
    assert "r-1" in artifacts["recipe"].aliases


def test_what_is_live_has_its_environments_alias(project: Project) -> None:
    try:
        project.run(*OFFLINE, "deploy.keep=true")
    finally:
        stop_environment(project.store, "dev", project.plugins())
    versions = [one for one in of(records(project), "artifact") if one.name == "recipe"]
    assert [set(one.aliases) - {"latest"} for one in versions] == [{"r-1"}, {"r-1", "dev"}]
    assert len({one.digest for one in versions}) == 1  # one content, so one version


def test_a_refused_run_ends_with_its_status(project: Project) -> None:
    with pytest.raises(GateRefused):
        project.run(*OFFLINE, "release.at_least=0.9")
    found = records(project)
    assert summary(found)["llmops/status"] == "refused"
    assert of(found, "exit")[0].exit_code == 3


def test_without_a_key_the_run_goes_on_and_says_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(project.folder / "none"))
    run = project.run("track=wandb")
    (warning,) = run.document["warnings"]
    assert "WANDB_API_KEY" in warning and "mode=offline" in warning


def test_an_alias_is_taken_from_our_own_versions_only() -> None:
    saved: list[str] = []

    def version(digest: str) -> Any:
        artifact = SimpleNamespace(metadata={"digest": digest}, aliases=["r-1", "dev"])
        artifact.save = lambda: saved.append(digest)
        return artifact

    ours, theirs = version("a"), version("b")
    for artifact in (ours, theirs):
        api = SimpleNamespace(artifact_exists=lambda path: True, artifact=lambda path, found=artifact: found)
        take_alias(api, "me/recipe/recipe", "dev", frozenset({"a"}))
    assert (ours.aliases, theirs.aliases, saved) == (["r-1"], ["r-1", "dev"], ["a"])
