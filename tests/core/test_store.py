"""The store: what goes in comes back whole, by content or by reference."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops_core import integrity
from llmops_core import store as store_module
from llmops_core.artifacts import Artifact, Dataset, Model
from llmops_core.content import content_digest
from llmops_core.errors import FetchError, LlmopsError, StoreError
from llmops_core.files import create_json, locked, read_json, write_json
from llmops_core.store import Store
from tests import processes
from tests.conftest import REPOSITORY, Project

TEXT = st.text(max_size=20)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


def put(store: Store, files: dict[str, bytes], **facts: Any) -> Dataset:
    """Publish a dataset with these files."""
    temporary = store.temporary("test")
    for name, content in files.items():
        (temporary / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / "files" / name).write_bytes(content)
    made = Dataset(folder=temporary / "files", **{"rows": {"train": 1}, "shape": "x", **facts})
    found = store.publish(made, temporary)
    assert isinstance(found, Dataset)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "store")
    found.prepare()
    return found


# -- in and out ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    files=st.dictionaries(NAMES, st.binary(max_size=50), max_size=3),
    rows=st.dictionaries(TEXT, st.integers(), max_size=3),
    funnel=st.lists(st.dictionaries(TEXT, PLAIN, max_size=3), max_size=3),
    shape=st.text(st.characters(), max_size=10),
)
def test_any_content_comes_back_as_it_was_published(
    files: dict[str, bytes], rows: dict[str, int], funnel: list[Any], shape: str
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        store = Store(Path(one))
        store.prepare()
        made = put(store, files, rows=rows, funnel=funnel, shape=shape)
        found = Store(Path(one)).open(made.digest)
        assert isinstance(found, Dataset)
        assert (found.rows, list(found.funnel), found.shape) == (rows, funnel, shape)
        assert {path.name: path.read_bytes() for path in found.folder.iterdir()} == files
        assert store.is_whole(made.digest) and store.damage(made.digest) == []
        elsewhere = Store(Path(other))
        elsewhere.prepare()
        reordered = dict(reversed(list(files.items())))
        assert put(elsewhere, reordered, rows=rows, funnel=funnel, shape=shape).digest == made.digest
        assert not list((store.root / "tmp").iterdir())


def test_a_digest_is_the_same_in_another_process_place_and_time(store: Store, tmp_path: Path) -> None:
    made = put(store, {"a/b.txt": b"text"}, shape="\N{SNOWMAN}")
    script = (
        "from tests.core.test_store import *; store = Store(Path('elsewhere')); store.prepare();"
        "print(put(store, {'a/b.txt': b'text'}, shape='\\N{SNOWMAN}').digest)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo"}
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == made.digest


@pytest.mark.parametrize("change", ["byte", "name", "fact", "more", "kind"])
def test_any_difference_of_content_is_another_digest(store: Store, change: str) -> None:
    one = put(store, {"a": b"1"})
    other: Artifact = one
    if change == "kind":
        temporary = store.temporary("x")
        (temporary / "files" / "a").write_bytes(b"1")
        made = Model(folder=temporary / "files", name="m", parameters=1, context=1)
        other = store.publish(made, temporary)
    else:
        files = {"byte": {"a": b"2"}, "name": {"b": b"1"}, "more": {"a": b"1", "b": b""}}.get(
            change, {"a": b"1"}
        )
        other = put(store, files, rows={"train": 2 if change == "fact" else 1})
    assert other.digest != one.digest


def test_the_same_content_is_kept_once(store: Store) -> None:
    first = put(store, {"a": b"1"})
    before = (first.folder / "a").stat().st_ino
    assert put(store, {"a": b"1"}) == first
    assert (first.folder / "a").stat().st_ino == before


def test_artifacts_inside_others_come_back_and_count(store: Store) -> None:
    base = model(store, "base")
    tuned = model(store, "tuned", base=base)
    found = store.open(tuned.digest)
    assert isinstance(found, Model) and found.base == base
    assert list(store.holds(tuned.digest)) == [tuned.digest, base.digest]
    assert model(store, "tuned", base=model(store, "other")).digest != tuned.digest
    (base.folder / "weights").unlink()
    assert not store.is_whole(tuned.digest)


def model(store: Store, name: str, base: Model | None = None) -> Model:
    temporary = store.temporary("model")
    (temporary / "files" / "weights").write_text(name)
    made = Model(folder=temporary / "files", name=name, parameters=1, context=1, base=base)
    found = store.publish(made, temporary)
    assert isinstance(found, Model)
    return found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object(), "funnel holds a object, which cannot be stored"),
        (b"bytes", "funnel holds a bytes"),
        (
            Model(folder=Path(), name="m", parameters=1, context=1),
            "funnel holds a Model that was never stored",
        ),
        ({"artifact": "0" * 64}, "cannot be stored"),
    ],
)
def test_facts_that_could_not_come_back_are_refused(store: Store, value: Any, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        put(store, {}, funnel=[value])


def test_links_are_kept_as_what_they_lead_to(store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("content")
    temporary = store.temporary("x")
    (temporary / "files" / "link").symlink_to(tmp_path / "outside")
    (temporary / "files" / "own").write_text("own")
    (temporary / "files" / "absolute").symlink_to(temporary / "files" / "own")
    made = store.publish(Dataset(folder=temporary / "files", rows={}, shape="x"), temporary)
    (tmp_path / "outside").unlink()
    assert store.is_whole(made.digest)
    assert {path.name: path.read_text() for path in made.folder.iterdir()} == {
        "link": "content",
        "own": "own",
        "absolute": "own",
    }


def test_what_is_no_file_cannot_be_stored(store: Store) -> None:
    temporary = store.temporary("x")
    os.mkfifo(temporary / "files" / "pipe")
    with pytest.raises(StoreError, match="pipe is not a regular file"):
        store.publish(Dataset(folder=temporary / "files", rows={}, shape="x"), temporary)


# -- by reference -------------------------------------------------------------------------------------


def refer(store: Store, folder: Path) -> Artifact:
    return store.publish(Model(folder=folder, name="big", parameters=1, context=1), store.temporary("x"))


def test_files_outside_are_referred_to_and_not_copied(store: Store, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "weights").write_text("w" * 1000)
    made = refer(store, tmp_path / "big")
    assert made.folder == (tmp_path / "big").resolve()
    assert not list((store.root / "artifacts" / made.digest).rglob("weights"))
    assert store.is_whole(made.digest)


@pytest.mark.parametrize("harm", ["change", "grow", "vanish", "folder"])
def test_a_reference_whose_file_changed_or_vanished_is_not_used(
    store: Store, tmp_path: Path, harm: str
) -> None:
    weights = tmp_path / "big" / "weights"
    weights.parent.mkdir()
    weights.write_text("good")
    made = refer(store, weights.parent)
    store.record("model", "k", entry("k", made.digest))
    assert store.lookup("model", "k") == made.digest
    if harm == "change":
        weights.write_text("evil")
    elif harm == "grow":
        weights.write_text("good and more")
    elif harm == "vanish":
        weights.unlink()
    else:
        shutil.rmtree(weights.parent)
    assert store.lookup("model", "k") == ""
    assert store.damage(made.digest)


def test_a_reference_whose_file_only_has_a_new_time_is_used_and_hashed_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "big" / "weights"
    weights.parent.mkdir()
    weights.write_text("good")
    made = refer(store, weights.parent)
    os.utime(weights, (1, 1))
    hashed: list[Path] = []
    whole = integrity.file_digest
    monkeypatch.setattr(integrity, "file_digest", lambda path: hashed.append(path) or whole(path))
    assert store.is_whole(made.digest) and store.is_whole(made.digest)
    assert hashed == [weights]


def test_the_same_weights_found_elsewhere_take_the_place_of_a_broken_reference(
    store: Store, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("same")
    first = refer(store, tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    second = refer(store, tmp_path / "two")
    assert second.digest == first.digest
    assert second.folder == (tmp_path / "two").resolve()
    assert store.is_whole(first.digest)
    assert not list((store.root / "tmp").iterdir())


def test_a_folder_that_does_not_last_cannot_be_referred_to(store: Store) -> None:
    temporary = store.temporary("x")
    (temporary / "files" / "inner").mkdir()
    made = Dataset(folder=temporary / "files" / "inner", rows={}, shape="x")
    with pytest.raises(StoreError, match=r"which does not last\. Return it with folder=run\.folder"):
        store.publish(made, temporary)


def test_another_artifacts_files_are_taken_over_and_not_referred_to(store: Store) -> None:
    first = put(store, {"a": b"1", "b/c": b"2"})
    second = store.publish(Dataset(folder=first.folder, rows={}, shape="other"), store.temporary("x"))
    shutil.rmtree(first.folder.parent)
    assert store.is_whole(second.digest)
    assert (second.folder / "b" / "c").read_bytes() == b"2"


def test_a_store_may_be_moved_with_what_it_downloaded(store: Store, tmp_path: Path) -> None:
    (store.downloads / "hub").mkdir(parents=True)
    (store.downloads / "hub" / "weights").write_text("w")
    made, own = refer(store, store.downloads / "hub"), put(store, {"a": b"1"})
    store.root.rename(tmp_path / "moved")
    moved = Store(tmp_path / "moved")
    assert moved.is_whole(made.digest) and moved.is_whole(own.digest)
    assert moved.open(made.digest).folder == (tmp_path / "moved" / "downloads" / "hub")


# -- places that cannot be written --------------------------------------------------------------------


def test_a_store_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=r"cannot write the store .*file/store: Not a directory\. Set store=FOLDER"
    ):
        Store(tmp_path / "file" / "store").prepare()


def as_nobody(work: Callable[[], object]) -> int:
    """Do `work` in a process that may write nothing that is not its own."""

    def unprivileged() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        work()

    return processes.wait(processes.start(unprivileged))


def test_a_store_that_may_only_be_read_can_be_planned_on_and_not_run_on(
    project: Project, tmp_path: Path
) -> None:
    project.write("rows.txt", "x")
    project.run("data.source=rows.txt")
    shutil.rmtree(project.store.root / "digests", ignore_errors=True)
    weights = project.store.open(read_run_output(project, "model")).folder / "weights"
    os.utime(weights, (1, 1))
    for path in [project.store.root, *project.store.root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)

    def plans() -> None:
        assert project.plan("data.source=rows.txt").count("reuse") == 5

    def runs() -> None:
        with pytest.raises(StoreError, match="cannot write the store"):
            project.run("data.source=rows.txt")

    try:
        assert as_nobody(plans) == 0
        assert as_nobody(runs) == 0
    finally:
        for path in [project.store.root, *project.store.root.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def read_run_output(project: Project, step: str) -> str:
    record = json.loads((project.store.root / "runs" / "1" / "manifest.json").read_text())
    return str(next(one["output"] for one in record["steps"] if one["name"] == step))


# -- keys, inputs, locks ------------------------------------------------------------------------------


def entry(key: str, digest: str) -> dict[str, Any]:
    return {"format": 1, "key": key, "step": "s", "run": "1", "document": {}, "digest": digest}


def test_the_first_to_record_a_key_wins_unless_its_artifact_is_broken(store: Store) -> None:
    one, other = put(store, {"a": b"1"}), put(store, {"a": b"2"})
    assert store.record("data", "k", entry("k", one.digest)) == one.digest
    assert store.record("data", "k", entry("k", other.digest)) == one.digest
    (one.folder / "a").unlink()
    assert store.record("data", "k", entry("k", other.digest)) == other.digest
    assert store.lookup("data", "k") == other.digest


def test_a_paths_digest_is_remembered_until_anything_about_it_changes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("one")
    hashed: list[Path] = []
    monkeypatch.setattr(
        store_module, "content_digest", lambda path: hashed.append(path) or content_digest(path)
    )
    monkeypatch.setattr(store_module, "SETTLED", -1)
    first = store.path_digest(str(rows))
    assert store.path_digest(str(rows)) == first and len(hashed) == 1
    kept = rows.stat()
    rows.write_text("two")
    os.utime(rows, ns=(kept.st_atime_ns, kept.st_mtime_ns))  # as `cp -p` and archives leave it
    assert store.path_digest(str(rows)) != first


def test_what_changed_just_now_is_not_remembered(store: Store, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("one")
    store.path_digest(str(tmp_path / "rows.txt"))
    assert not (store.root / "digests").exists()


def test_relative_paths_of_two_folders_are_two_paths(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        found.append(store.path_digest("rows"))
    assert found[0] != found[1]


def test_a_path_that_is_not_there_is_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot be read: No such file"):
        store.path_digest(str(tmp_path / "nowhere"))


def test_of_many_that_create_one_file_exactly_one_does(store: Store) -> None:
    path = store.root / "one.json"

    def create(number: int) -> Callable[[], None]:
        def work() -> None:
            if not create_json(path, {"by": number}):
                raise SystemExit

        return work

    started = [processes.start(create(number)) for number in range(8)]
    states = [processes.wait(process) for process in started]
    assert states.count(0) == 1
    assert read_json(path) == {"by": states.index(0)}
    assert [one.name for one in store.root.glob(".one*")] == []


def test_a_shared_lock_keeps_gc_out_and_a_killed_holder_gives_it_back(store: Store) -> None:
    with store.lock(shared=True), store.lock(shared=True), store.lock(shared=False, wait=False) as mine:
        assert not mine
    with locked(store.root / "locks" / "store", wait=False) as mine:
        assert mine


def test_half_a_surrogate_pair_is_written_and_read(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"text": "a\ud800b \\ud800"})
    assert read_json(tmp_path / "x.json") == {"text": "a\ud800b \\ud800"}


@given(PLAIN)
def test_any_plain_value_is_written_as_json_and_read_back(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        write_json(path, value)
        assert read_json(path) == value
        assert [one.name for one in path.parent.iterdir()] == ["x.json"]


def test_a_damaged_file_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff")
    with pytest.raises(LlmopsError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")
