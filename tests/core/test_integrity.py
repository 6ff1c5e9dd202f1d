"""Damage is found and mended; newer formats are refused and older ones migrated."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops_core import integrity
from llmops_core import store as store_module
from llmops_core.artifacts import Artifact, Dataset
from llmops_core.errors import StoreError
from llmops_core.files import read_json, write_json
from llmops_core.store import Store
from tests.conftest import Project
from tests.core.test_store import put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.prepare()
    return found


# -- damage -------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_of_any_byte_or_size_of_any_file_is_found_and_mended(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.prepare()
        made = put(store, {"a": b"some content", "b/c": b"x"})
        files = sorted(path for path in (store.root / "artifacts").rglob("*") if path.is_file())
        path = data.draw(st.sampled_from(files))
        before = path.read_bytes()
        harm = data.draw(st.sampled_from(["flip", "cut", "grow", "delete"]))
        if harm == "flip":
            place = data.draw(st.integers(0, len(before) - 1))
            bit = 1 << data.draw(st.integers(0, 7))
            path.write_bytes(before[:place] + bytes([before[place] ^ bit]) + before[place + 1 :])
        elif harm == "cut":
            path.write_bytes(before[: data.draw(st.integers(0, len(before) - 1))])
        elif harm == "grow":
            path.write_bytes(before + data.draw(st.binary(min_size=1, max_size=5)))
        else:
            path.unlink()
        record = path.parent == store.root / "artifacts" / made.digest
        # a changed time is no damage, nor is white space between the parts of a record
        harmless = record and same(store, made)
        assert harmless or not store.is_whole(made.digest)
        assert harmless or store.damage(made.digest)
        assert put(store, {"a": b"some content", "b/c": b"x"}).digest == made.digest
        assert store.damage(made.digest) == []


def same(store: Store, made: Artifact) -> bool:
    """Whether a damaged record still says the same of what is there."""
    try:
        found = store.open(made.digest)
    except (StoreError, ValueError, OSError):
        return False
    return found == made and store.damage(made.digest) == []


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '"x"', '{"kind": 3}', "\0", '{"format": "x"}', '{"digest": "\\u0000"}']
)
@pytest.mark.parametrize("name", ["artifact.json", "where.json", "key"])
def test_a_record_of_any_other_shape_is_damage_and_no_crash(project: Project, name: str, text: str) -> None:
    first = project.run().document["steps"][0]
    folder = project.store.root / "artifacts" / first["output"]
    path = project.store.root / "keys" / "data" / f"{first['key']}.json" if name == "key" else folder / name
    path.write_text(text)
    reason = project.plan().steps[0].reason
    assert "damaged" in reason or reason == "never run yet"
    again = project.run().document["steps"]
    assert again[0]["status"] == "done" and again[0]["output"] == first["output"]
    assert [step["status"] for step in again[1:5]] == ["reused"] * 4


def test_verify_names_every_damaged_file_and_the_run_after_it_makes_it_again(project: Project) -> None:
    run = project.run()
    weights = project.store.open(run.step("model")["output"]).folder / "weights"
    kept = weights.stat()
    weights.write_bytes(b"W" + weights.read_bytes()[1:])
    os.utime(weights, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    damaged = {digest: wrong for digest, wrong in project.store.verify() if wrong}
    assert damaged == {run.step("model")["output"]: [f"{weights} was changed"]}
    weights.unlink()
    assert "missing" in project.plan().steps[1].reason
    assert project.run().step("model")["status"] == "done"
    assert not any(wrong for _, wrong in project.store.verify())


# -- formats ------------------------------------------------------------------------------------------


def test_a_store_of_a_newer_format_is_refused_by_whatever_reads_it(project: Project) -> None:
    project.run()
    write_json(project.store.root / "store.json", {"format": 2})
    said = "has format 2; this release of llmops reads up to 1. Upgrade llmops"
    with pytest.raises(StoreError, match=said):
        project.run()
    with pytest.raises(StoreError, match=said):
        project.store.check_format()
    assert len(list((project.store.root / "runs").iterdir())) == 1


def test_an_older_store_is_migrated_when_it_is_written_and_only_then(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run()
    monkeypatch.setattr(store_module, "FORMAT", 2)
    monkeypatch.setitem(store_module.STORE_MIGRATIONS, 1, lambda old: {**old, "moved": True})
    project.store.check_format()
    assert read_json(project.store.root / "store.json") == {"format": 1}
    assert [step["status"] for step in project.run().document["steps"][:5]] == ["reused"] * 5
    assert read_json(project.store.root / "store.json") == {"format": 2, "moved": True}


def test_an_older_artifact_is_read_through_its_migration(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = put(store, {"a": b"1"}, shape="old")
    monkeypatch.setattr(integrity, "FORMAT", 2)
    newer = {"facts": {"rows": {}, "shape": "new", "funnel": []}}
    monkeypatch.setitem(integrity.ARTIFACT_MIGRATIONS, 1, lambda old: {**old, **newer})
    found = store.open(made.digest)
    assert isinstance(found, Dataset) and found.shape == "new"
    assert store.damage(made.digest) == []


def test_an_artifact_of_a_newer_format_is_refused(store: Store) -> None:
    made = put(store, {"a": b"1"})
    path = store.root / "artifacts" / made.digest / "artifact.json"
    write_json(path, {**read_json(path), "format": 9})
    with pytest.raises(StoreError, match="has format 9; this release"):
        store.open(made.digest)
