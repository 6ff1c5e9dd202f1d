"""Steps on a Ray cluster of two nodes: the same bytes, and what goes wrong there is told here."""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmops_core.content import content_digest
from llmops_core.errors import DataError, LlmopsError
from llmops_core.events import Log
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_data import config
from llmops_data.cluster import CURRENT, Cluster, ray_cluster
from llmops_data.config import DialogueData
from llmops_data.dialogues import dialogues
from llmops_data.parallel import Engine, work_of
from llmops_data.pipeline import HERE, Passed, passed
from llmops_data.rows import Message, Row
from llmops_data.stored import RowsWriter, StoredRows
from tests.docs.pages import blocks

from .conftest import Told, loading, part, step_run, target

pytestmark = pytest.mark.timeout(300)

PAGE = "how-to/use-a-ray-cluster.md"
SECRET = "open-sesame-7913"
STEPS = """
import os
from dataclasses import dataclass
from pathlib import Path

from llmops_core.errors import DataError
from llmops_core.settings import setting


@dataclass(frozen=True)
class Given:
    key: str = setting("", doc="A secret.", secret=True)
    path: str | None = setting(None, doc="A file.", path=True)
    died: str = setting("", doc="Where it is noted that a process died.")


def tells(config, run, *, rows):
    import ray

    if config.key:
        assert run.secret(config.key).startswith("open-")
    if ray.is_initialized():
        run.log(ray.get_runtime_context().get_node_id())
    return rows


def fails(config, run, *, rows):
    for row in rows:
        if row.origin == "2500":
            raise DataError("it says nothing", where=row.origin, remedy="Leave it out.")
        yield row


def dies(config, run, *, rows):
    if rows[0].origin == "2000":
        os._exit(1)
    return rows


def dies_once(config, run, *, rows):
    if rows[0].origin == "2000" and not Path(config.died).exists():
        Path(config.died).touch()
        os._exit(1)
    return rows


def writes(config, run, *, rows):
    (run.state / "left").touch()
    return rows


def stays(config, run, *, rows):
    return writes(config, run, rows=rows)


for one in (tells, fails, dies, dies_once, writes, stays):
    one.by_rows = True
stays.in_store = lambda config: config.died == ""
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for the cluster, of a short name, and on every worker's path."""
    made = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    (made / "steps_for_ray.py").write_text(STEPS)
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A cluster of two nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(folder))
        # Ray writes down there which cluster is the current one
        CURRENT.parent.mkdir(exist_ok=True)
        size = {"num_cpus": 1, "object_store_memory": 80_000_000}
        head = {**size, "include_dashboard": False, "temp_dir": str(folder / "ray")}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(**size)
        yield cluster.address
        cluster.shutdown()
        CURRENT.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def engine(address: str, folder: Path) -> Iterator[Engine]:
    """The engine, joined to the cluster."""
    told = Told()
    with ray_cluster(config.Ray(address=address, rows=1000), step_run(folder, told), 1) as made:
        made.join()  # type: ignore[attr-defined]
        assert [event.text for event in told if isinstance(event, Log)] == ["Ray: 2 CPUs on 2 nodes"]
        yield made


@pytest.fixture
def before(tmp_path: Path) -> Passed:
    """Five batches of rows."""
    with RowsWriter(tmp_path / "rows.arrow") as writer:
        for number in range(5000):
            writer.add(Row(str(number), (Message("text", f"text {number}"),)))
    return Passed("read", StoredRows(tmp_path / "rows.arrow"), "0" * 64)


def given(name: str) -> Any:
    return getattr(importlib.import_module("steps_for_ray"), name)


def step(name: str, **values: Any) -> Part:
    return Part("data/step", name, given("Given")(**values))


@pytest.fixture
def run(tmp_path: Path, told: Told, folder: Path) -> StepRun:
    """A run that loads the steps above."""
    made = step_run(tmp_path, told)
    return replace(made, loader=loading(lambda one: given(one.use)), read_secret=lambda name: SECRET)


def documents(folder: Path) -> str:
    """Texts of which some are decoded wrongly, have markup, are copies, or nearly so."""
    chance = random.Random(5)
    with (folder / "texts.jsonl").open("w") as file:
        for number in range(4500):
            if number % 9 or not number:
                words = ["the", "of", "and", *(f"w{chance.randrange(9000)}" for _ in range(30)), "schÃ¶n"]
            if number % 9 == 1:
                words[5] = "<b>stone</b>"
            file.write(json.dumps({"text": " ".join(words[: 34 - number % 3])}) + "\n")
    return str(folder / "texts.jsonl")


# first: a process is in one cluster at a time, and the others are in one of the module's
def test_a_cluster_that_is_not_there_is_told_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    for address in ("127.0.0.1:1", "nowhere"):
        with pytest.raises(DataError, match=rf"the Ray cluster {address} cannot be joined.*engine\.address"):
            Cluster(config.Ray(address=address), step_run(tmp_path, name=address[:3])).join()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(DataError, match="the Ray cluster auto cannot be joined"):
        Cluster(config.Ray(address="auto"), step_run(tmp_path)).join()
    assert time.monotonic() - began < 30
    with pytest.raises(ValueError, match="Ray Client"):
        config.Ray(address="ray://head:10001")


def test_two_nodes_give_the_bytes_of_one_process(engine: Engine, address: str, tmp_path: Path) -> None:
    steps = {
        "repair": part("repair"),
        "markup": part("markup", repeated_lines=50),
        "normalise": part("normalise"),
        "language": part("language"),
        "quality": part("quality", min_words=30, max_top_pair=0.0),
        "where": step("tells"),
        "exact": part("exact"),
        "dedup": part("near", threshold=0.7),
        "length": part("length", min_characters=180),
    }
    found, told = {}, Told()
    for name, where in {"local": config.Local(), "ray": config.Ray(address=address, rows=1000)}.items():
        place = tmp_path / name
        place.mkdir()
        run = step_run(place, told if name == "ray" else None)
        run = replace(run, loader=loading(lambda one: given("tells") if one.use == "tells" else target(one)))
        chosen = DialogueData(
            source=documents(place), shape="text", steps=steps, engine=Part("data/engine", name, where)
        )
        made = dialogues(chosen, run)
        found[name] = (content_digest(run.folder), made.rows, made.funnel)
    assert found["local"] == found["ray"]
    assert sum(found["ray"][1].values()) > 500
    assert len({event.text for event in told if isinstance(event, Log)}) == 2


def test_what_a_step_raises_there_is_what_it_raises_here(
    engine: Engine, run: StepRun, before: Passed
) -> None:
    raised = []
    for where in (HERE, engine):
        with pytest.raises(DataError) as caught:
            passed("fails", step("fails"), run, before, where)
        raised.append((type(caught.value), caught.value.problem))
    assert raised[0] == raised[1]


def test_a_process_that_dies_once_is_replaced(
    engine: Engine, run: StepRun, before: Passed, tmp_path: Path
) -> None:
    found = passed("dies_once", step("dies_once", died=str(tmp_path / "died")), run, before, engine)
    assert (tmp_path / "died").exists()
    assert [row.origin for row in found.rows] == [row.origin for row in before.rows]


def test_rows_that_kill_each_process_are_given_up_and_told(
    engine: Engine, run: StepRun, before: Passed
) -> None:
    with pytest.raises(DataError, match="process of a Ray task died, 4 times with the same rows"):
        passed("dies", step("dies"), run, before, engine)


def test_a_secret_reaches_a_task_and_no_file_of_ray(
    engine: Engine, run: StepRun, before: Passed, folder: Path, told: Told
) -> None:
    chosen = step("tells", key="${secret:KEY}")
    passed("tells", chosen, run, before, engine)
    assert sum(isinstance(event, Log) for event in told) == 5
    assert SECRET not in repr(work_of(given("tells"), chosen, run))
    files = [path for path in (folder / "ray").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "raylet.out" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_file_that_a_step_would_leave_there_is_told_of(
    engine: Engine, run: StepRun, before: Passed
) -> None:
    with pytest.raises(LlmopsError, match=r"steps_for_ray\.writes writes a file \(left\), .*in_store = True"):
        passed("writes", step("writes"), run, before, engine)


def test_a_step_that_needs_files_of_this_machine_stays_here(
    engine: Engine, run: StepRun, before: Passed, tmp_path: Path
) -> None:
    passed("stays", step("stays"), run, before, engine)
    assert (run.state / "left").exists()
    rows = before.rows
    assert not engine.takes(given("stays"), step("stays"), rows)
    assert engine.takes(given("stays"), step("stays", died="x"), rows)
    assert engine.takes(given("tells"), step("tells"), rows)
    assert not engine.takes(given("tells"), step("tells", path=str(tmp_path)), rows)


def test_another_version_on_a_machine_is_refused(run: StepRun, engine: Engine, tmp_path: Path) -> None:
    from llmops_data.on_ray import _taken_up

    work = work_of(given("tells"), step("tells"), run)
    with pytest.raises(DataError, match="has other sources of steps_for_ray than this machine"):
        _taken_up(work, "0" * 64, tmp_path)


def test_a_cluster_of_our_own_is_silent_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{number}?", "completion": "Yes."}) + "\n" for number in range(4000))
    )
    texts = {block.language: block.text for block in blocks(PAGE)}
    (tmp_path / "recipe.yaml").write_text(f"defaults: [base, _self_]\n{texts['yaml']}")
    typed = texts["bash"].split()
    # as a killed run would have left it
    (left := Path("/tmp/llmops-ray-999999999-killed")).mkdir(exist_ok=True)
    command = [sys.executable, "-c", "from llmops_core.cli import main; main()", *typed[1:]]
    environment = {**os.environ, "HOME": str(tmp_path), "LLMOPS_OFFLINE": "1"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "Ray: 1 CPUs on 1 node" in said
    assert not [line for line in said.splitlines() if re.search(r"INFO|WARN|raylet|ray\.data", line)], said
    assert not left.exists()
    assert list(Path("/tmp").glob(f"llmops-ray-{process.pid}-*")) == []
    assert not (tmp_path / ".ray").exists()
    ours = f"llmops-ray-{process.pid}-".encode()
    assert not [place for place in Path("/proc").glob("[0-9]*/cmdline") if ours in _read(place)]


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError:
        return b""
