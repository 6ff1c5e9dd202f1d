"""The deployment journal: what was live when, through kills, clocks and other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops_core.errors import LockedError, StoreError, UsageError
from llmops_core.journal import PROCESS_GONE, Deployment, Journal, moment

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute: float) -> datetime:
    return DAY + timedelta(minutes=minute)


def release(name: str, environment: str = "dev", digest: str = "", **known: object) -> Deployment:
    return Deployment(environment=environment, release=name, digest=digest or name, run="1", **known)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def test_an_empty_store_has_no_history(journal: Journal) -> None:
    assert journal.history() == ()
    assert journal.current("dev") is None
    assert journal.previous("dev") is None
    assert not journal.path.exists()


def test_what_was_recorded_is_read_back_whole(journal: Journal) -> None:
    told = release("r-1", url="http://127.0.0.1:8000", action="serve", how={"step": {"port": 1}})
    journal.went_live(told, at(0))
    (found,) = Journal(journal.root).history()
    assert (found.release, found.url, found.action, found.how) == (
        "r-1",
        told.url,
        "serve",
        {"step": {"port": 1}},
    )
    assert found.live and found.start == at(0) and found.end is None


def test_a_new_deployment_ends_the_earlier_one_in_its_environment_only(journal: Journal) -> None:
    journal.went_live(release("r-1"), at(0))
    journal.went_live(release("r-1", "prod"), at(1))
    journal.went_live(release("r-5"), at(2))
    first, elsewhere, second = journal.history()
    assert (first.end, first.reason) == (at(2), "replaced by r-5")
    assert elsewhere.live and second.live
    assert {one.environment: one.release for one in journal.live_at(at(5))} == {"prod": "r-1", "dev": "r-5"}


def test_an_ended_deployment_keeps_its_first_end(journal: Journal) -> None:
    one = journal.went_live(release("r-1"), at(0))
    journal.ended(one.id, "stopped after its probe", at(1))
    again = journal.ended(one.id, "stopped twice", at(9))
    assert (again.end, again.reason) == (at(1), "stopped after its probe")
    assert len(journal.path.read_text().splitlines()) == 2


def test_ending_what_never_was_is_refused(journal: Journal) -> None:
    with pytest.raises(UsageError, match="no deployment nowhere"):
        journal.ended("nowhere", "")


def test_a_clock_that_steps_back_makes_no_negative_interval(journal: Journal) -> None:
    journal.went_live(release("r-1"), at(10))
    second = journal.went_live(release("r-2"), at(3))
    ended = journal.ended(second.id, "stopped", at(4))
    first = journal.history()[0]
    assert first.end == second.start == ended.end == at(10)


events = st.lists(
    st.tuples(
        st.sampled_from(["live", "end"]),
        st.sampled_from(["dev", "prod"]),
        st.sampled_from("abc"),
        st.integers(0, 6),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(events)
def test_live_at_agrees_with_playing_the_events_minute_by_minute(
    tmp_path_factory: pytest.TempPathFactory, told
) -> None:  # type: ignore[no-untyped-def]
    journal = Journal(tmp_path_factory.mktemp("store"))
    playing: dict[str, tuple[str, str]] = {}
    minutes: dict[int, dict[str, str]] = {}
    now = 0
    for kind, environment, digest, wait in told:
        for minute in range(now, now + wait):
            minutes[minute] = {where: what for where, (what, _) in playing.items()}
        now += wait
        if kind == "live":
            begun = journal.went_live(release(f"r-{digest}", environment, digest), at(now))
            playing[environment] = (digest, begun.id)
        elif environment in playing:
            journal.ended(playing.pop(environment)[1], "stopped", at(now))
    minutes[now] = {where: what for where, (what, _) in playing.items()}
    for minute, expected in minutes.items():
        assert {one.environment: one.digest for one in journal.live_at(at(minute))} == expected
        for environment in ("dev", "prod"):
            found = [one.digest for one in journal.live_at(at(minute), environment)]
            assert found == ([expected[environment]] if environment in expected else [])


def test_the_previous_release_has_another_digest(journal: Journal) -> None:
    for name, digest in [("r-1", "a"), ("r-2", "b"), ("r-3", "b")]:
        journal.went_live(release(name, digest=digest))
    previous = journal.previous("dev")
    assert previous is not None and previous.release == "r-1"


def test_rolling_back_again_goes_further_back_and_never_forward(journal: Journal) -> None:
    for name in ("r-1", "r-2", "r-3"):
        journal.went_live(release(name))
    for expected in ("r-2", "r-1"):
        previous = journal.previous("dev")
        assert previous is not None and previous.release == expected
        journal.went_live(release(previous.release, digest=previous.digest, action="rollback"))
    assert journal.previous("dev") is None


def test_a_release_after_a_rollback_can_be_rolled_back_to_what_was_put_back(journal: Journal) -> None:
    for name in ("r-1", "r-2"):
        journal.went_live(release(name))
    journal.went_live(release("r-1", action="rollback"))
    journal.went_live(release("r-3"))
    previous = journal.previous("dev")
    assert previous is not None and previous.release == "r-1"


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_line_cut_short_by_a_kill_is_told_and_passed_over(tmp_path: Path, kept: int) -> None:
    told: list[str] = []
    journal = Journal(tmp_path, told.append)
    journal.went_live(release("r-1"), at(0))
    whole = journal.path.read_bytes()
    journal.went_live(release("r-2", "prod"), at(1))
    journal.path.write_bytes(whole + journal.path.read_bytes()[len(whole) :][:kept])

    assert [one.release for one in journal.history()] == ["r-1"]
    assert "cut short" in told[-1]
    journal.went_live(release("r-3", "prod"), at(2))
    told.clear()
    assert [one.release for one in journal.history()] == ["r-1", "r-3"]
    assert len(told) == 1 and "line 2" in told[0]


def test_a_torn_line_is_told_even_when_nobody_listens(journal: Journal) -> None:
    journal.path.write_bytes(b'{"event": "li')
    with pytest.warns(RuntimeWarning, match="cut short"):
        assert journal.history() == ()


def test_a_damaged_line_within_the_journal_is_an_error(journal: Journal) -> None:
    journal.went_live(release("r-1"))
    journal.path.write_bytes(b"garbage\n" + journal.path.read_bytes())
    with pytest.raises(StoreError, match="line 1: this line of the deployment journal is damaged"):
        journal.history()


def test_a_line_that_a_newer_llmops_wrote_is_refused(journal: Journal) -> None:
    journal.went_live(release("r-1"))
    newer = json.loads(journal.path.read_text()) | {"format": 2}
    journal.path.write_text(json.dumps(newer) + "\n")
    for act in (journal.history, lambda: journal.went_live(release("r-2"))):
        with pytest.raises(StoreError, match=r"format 2 by a newer llmops.*Upgrade llmops"):
            act()
    assert len(journal.path.read_text().splitlines()) == 1


def test_nothing_stays_behind_when_the_disk_is_full(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.went_live(release("r-1"))
    before, write = journal.path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:20]))
    with pytest.raises(StoreError, match="the disk is full"):
        journal.went_live(release("r-2"))
    assert journal.path.read_bytes() == before


def test_a_deployment_whose_process_died_is_not_live_now_but_may_have_been(journal: Journal) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        journal.went_live(release("r-1", process=server.pid), at(0))
        assert journal.current("dev") is not None
        server.communicate(b"\n")
    (lost,) = journal.history()
    assert (lost.end, lost.reason, lost.live) == (None, PROCESS_GONE, False)
    assert journal.current("dev") is None
    assert [one.reason for one in journal.live_at(at(1))] == [PROCESS_GONE]
    assert journal.live_at(datetime.now(UTC) + timedelta(days=1)) == ()

    second = journal.went_live(release("r-2"))
    first = journal.history()[0]
    assert (first.end, first.reason) == (second.start, PROCESS_GONE)


def test_another_process_with_the_same_number_is_not_mistaken_for_the_server(journal: Journal) -> None:
    journal.went_live(release("r-1", process=os.getpid()))
    assert journal.current("dev") is not None
    record = json.loads(journal.path.read_text())
    record["mark"] = " ".join([*record["mark"].split(" ")[:2], "1"])
    journal.path.write_text(json.dumps(record) + "\n")
    assert journal.current("dev") is None


def test_a_process_on_another_machine_is_believed(journal: Journal) -> None:
    journal.went_live(release("r-1", process=os.getpid()))
    record = json.loads(journal.path.read_text()) | {"process": 1, "mark": "elsewhere boot 1"}
    journal.path.write_text(json.dumps(record) + "\n")
    assert journal.current("dev") is not None


WRITER = """
import sys
from pathlib import Path
from llmops_core.journal import Deployment, Journal
journal = Journal(Path(sys.argv[1]))
for number in range(25):
    journal.went_live(Deployment(environment=sys.argv[2], release=f"r-{number}", digest=str(number), run="1"))
"""


def test_writers_in_other_processes_lose_nothing(journal: Journal) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(journal.root), environment], env=_environment())
        for environment in ("dev", "dev", "prod")
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(journal.history("dev")) == 50 and len(journal.history("prod")) == 25
    for environment in ("dev", "prod"):
        *past, last = journal.history(environment)
        assert last.live
        assert [one.end for one in past] == [one.start for one in journal.history(environment)[1:]]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_the_lock_names_who_holds_it_and_is_free_again_afterwards(journal: Journal) -> None:
    with journal.lock("prod", "run 7"):
        with (
            pytest.raises(LockedError, match=rf"prod is held by run 7 \(process {os.getpid()}, since "),
            journal.lock("prod", "run 8"),
        ):
            pass
        with journal.lock("dev", "run 8"):
            pass
    with journal.lock("prod", "run 9"):
        pass


def test_a_killed_holder_gives_the_lock_back(journal: Journal) -> None:
    code = (
        "import sys, pathlib; from llmops_core.journal import Journal\n"
        "with Journal(pathlib.Path(sys.argv[1])).lock('prod', 'run 7'): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(journal.root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError), journal.lock("prod", "run 8"):
            pass
        holder.kill()
    with journal.lock("prod", "run 8"):
        pass


def test_an_environment_may_have_any_name(journal: Journal) -> None:
    with journal.lock("../team a/prod", "run 1"):
        assert [path.parent for path in journal.root.rglob("*.lock")] == [journal.root / "locks"]


def test_a_time_without_offset_is_utc() -> None:
    assert moment("2026-11-20T09:00") == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert moment("2026-11-20T09:00+01:00") == datetime(2026, 11, 20, 8, tzinfo=UTC)
    with pytest.raises(UsageError, match="'yesterday' is not a time"):
        moment("yesterday")
