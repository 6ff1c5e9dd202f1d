"""Fetching: real pip and a real package, damaged wheels, fsspec, offline, two at once, and a kill."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from llmops_core import fetch_pypi
from llmops_core.content import content_digest, file_digest
from llmops_core.errors import FetchError, OfflineError
from llmops_core.fetch import download_size, fetch

CORPUS = "pypi://chatterbot-corpus@1.3.3"
CORPUS_SHA256 = "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"
WHEEL = "tiny-1.0-py3-none-any.whl"
TINY = "pypi://tiny@1.0"

Bring = Callable[..., Path]


@pytest.fixture
def bring(tmp_path: Path) -> Bring:
    """fetch with a cache of its own."""

    def call(address: str, sha256: str = "", *, offline: bool = False, token: str = "") -> Path:
        cache = tmp_path / "cache"
        return fetch(
            address, sha256, cache=cache, offline=offline, token=token, tell=lambda done, total: None
        )

    return call


def wheel(folder: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> str:
    """Write a small wheel that pip accepts, with these files in it, and give its sha256."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w", method) as archive:
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name) if method == zipfile.ZIP_STORED else name, content)
    return file_digest(folder / WHEEL)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place pip may look: what a user's own settings would say."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def kept(folder: Path) -> list[str]:
    """What the cache holds besides locks, which are empty."""
    return sorted(path.name for path in folder.glob("*/") if path.is_dir()) if folder.exists() else []


def test_a_real_package_arrives_once_and_stays_offline(bring: Bring, tmp_path: Path) -> None:
    place = bring(f"{CORPUS}/chatterbot_corpus/data/english", CORPUS_SHA256)
    assert (place / "tech_support.yml").stat().st_size == 97407
    assert download_size(CORPUS, CORPUS_SHA256, cache=tmp_path / "cache") == 0
    started = time.perf_counter()
    again = bring(f"{CORPUS}/chatterbot_corpus/data/english/trivia.yml", CORPUS_SHA256, offline=True)
    assert time.perf_counter() - started < 0.2
    assert again == place / "trivia.yml"


def test_a_wrong_digest_names_both_and_keeps_nothing(bring: Bring, index: Path, tmp_path: Path) -> None:
    right, wrong = wheel(index, {"tiny/x.txt": b"x"}), "0" * 64
    with pytest.raises(FetchError) as caught:
        bring(TINY, wrong)
    for part in (TINY, f"expected {wrong}", f"got {right}", "nothing was kept"):
        assert part in str(caught.value)
    assert kept(tmp_path / "cache") == []


def test_a_missing_digest_is_printed_to_be_pasted(bring: Bring, index: Path, tmp_path: Path) -> None:
    right = wheel(index, {"tiny/x.txt": b"x"})
    with pytest.raises(FetchError, match=f"write sha256: {right}"):
        bring(TINY)
    assert kept(tmp_path / "cache") == []


def test_something_that_is_no_digest_is_refused_before_anything_else(bring: Bring) -> None:
    with pytest.raises(FetchError, match="is not a sha256"):
        bring(CORPUS, "abc")


def test_a_version_that_is_not_there_says_which_are(bring: Bring) -> None:
    with pytest.raises(FetchError) as caught:
        bring("pypi://chatterbot-corpus@99.0", CORPUS_SHA256)
    assert "1.3.3" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_pip_says_nothing_on_our_streams(
    bring: Bring, index: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(TINY, wheel(index, {"tiny/x.txt": b"x"}))
    with pytest.raises(FetchError):
        bring("pypi://tiny@2.0", "0" * 64)
    assert capfd.readouterr() == ("", "")


def test_a_path_that_the_wheel_lacks_names_the_nearest(bring: Bring, index: Path) -> None:
    digest = wheel(index, {"tiny/english/ai.yml": b"x"})
    with pytest.raises(FetchError, match=r"no tiny/englsh. Nearest: tiny/english"):
        bring(f"{TINY}/tiny/englsh", digest)


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/tmp/evil.txt", "tiny/../../evil.txt", "..\\evil.txt", "C:/evil.txt"]
)
def test_a_wheel_that_writes_outside_is_refused_whole(
    bring: Bring, index: Path, tmp_path: Path, name: str
) -> None:
    digest = wheel(index, {"tiny/good.txt": b"x", name: b"evil"})
    with pytest.raises(FetchError, match="leads out of it"):
        bring(TINY, digest)
    assert not list(tmp_path.rglob("*evil*"))
    assert kept(tmp_path / "cache") == []


def test_a_link_in_a_wheel_is_refused(bring: Bring, index: Path, tmp_path: Path) -> None:
    wheel(index, {})
    link = zipfile.ZipInfo("tiny/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(index / WHEEL, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FetchError, match="is a link"):
        bring(TINY, file_digest(index / WHEEL))
    assert kept(tmp_path / "cache") == []


def test_a_bomb_is_refused_before_it_is_unpacked(bring: Bring, index: Path, tmp_path: Path) -> None:
    digest = wheel(index, {f"tiny/{n}.bin": bytes(40 << 20) for n in range(8)}, zipfile.ZIP_DEFLATED)
    started = time.perf_counter()
    with pytest.raises(FetchError, match=r"would unpack from .* to 335,"):
        bring(TINY, digest)
    assert time.perf_counter() - started < 10
    assert kept(tmp_path / "cache") == []


def test_a_file_that_holds_more_than_it_declares_is_refused(
    bring: Bring, index: Path, tmp_path: Path
) -> None:
    wheel(index, {"tiny/liar.txt": b"ten bytes!"})
    raw = (index / WHEEL).read_bytes()
    at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"tiny/liar.txt"))
    (index / WHEEL).write_bytes(raw[: at + 24] + (3).to_bytes(4, "little") + raw[at + 28 :])
    with pytest.raises(FetchError, match="cannot be unpacked"):
        bring(TINY, file_digest(index / WHEEL))
    assert kept(tmp_path / "cache") == []


def test_a_damaged_arrival_is_fetched_again_but_not_offline(bring: Bring, index: Path) -> None:
    digest = wheel(index, {"tiny/x.txt": b"all of it", "tiny/y.txt": b"y"})
    place = bring(TINY, digest)
    (place / "tiny" / "x.txt").write_bytes(b"half")
    with pytest.raises(OfflineError, match="is damaged"):
        bring(TINY, digest, offline=True)
    assert (bring(TINY, digest) / "tiny" / "x.txt").read_bytes() == b"all of it"


def test_offline_refuses_what_is_not_here_and_says_so(bring: Bring, tmp_path: Path) -> None:
    with pytest.raises(OfflineError, match="LLMOPS_OFFLINE"):
        bring(CORPUS, CORPUS_SHA256, offline=True)
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_says_how_much_is_needed(
    bring: Bring, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = wheel(index, {"tiny/x.bin": bytes(3_000_000)})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10, 10, 1_000_000))
    with pytest.raises(FetchError, match=r"no space left .* it needs 3.0 MB, and 1.0 MB are free"):
        bring(TINY, digest)


def test_a_disk_that_fills_up_on_the_way_is_told_too(
    bring: Bring, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*values: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    digest = wheel(index, {"tiny/x.bin": bytes(3_000_000)})
    monkeypatch.setattr(fetch_pypi, "_write", full)
    with pytest.raises(FetchError, match=r"no space left .* it needs 3.0 MB"):
        bring(TINY, digest)


def test_without_pip_uv_lends_one_and_without_both_the_remedy_is_told(
    bring: Bring, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = wheel(index, {"tiny/x.txt": b"x"})
    monkeypatch.setattr(fetch_pypi, "PathFinder", SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(FetchError, match=r"neither pip nor uv.*ensurepip"):
        bring(TINY, digest)
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin" / "uv"
    uv.write_text(
        f'#!/bin/sh\n[ "$1 $2 $6" = "tool run pip" ] || exit 9\nshift 6\nexec {sys.executable} -m pip "$@"\n'
    )
    uv.chmod(0o755)
    assert (bring(TINY, digest) / "tiny" / "x.txt").read_bytes() == b"x"


class SlowIndex(http.server.BaseHTTPRequestHandler):
    """Serves one wheel; counts how often it was asked for, and may stop in the middle of it."""

    wheel: bytes = b""
    asked = 0
    stall = threading.Event()

    def do_GET(self) -> None:
        body, server = type(self).wheel, type(self)
        page = f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode()
        is_wheel = self.path.endswith(".whl")
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if is_wheel else "text/html")
        self.send_header("Content-Length", str(len(body if is_wheel else page)))
        self.end_headers()
        if not is_wheel:
            self.wfile.write(page)
            return
        server.asked += 1
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        server.stall.wait(20)
        with contextlib.suppress(OSError):
            self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *values: object) -> None:
        """Say nothing."""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[SlowIndex], str]]:
    """An index that stalls until its event is set, with the sha256 of its wheel."""
    digest = wheel(tmp_path / "served", {"tiny/x.bin": bytes(range(256)) * 4096})

    class Handler(SlowIndex):
        wheel = (tmp_path / "served" / WHEEL).read_bytes()
        stall = threading.Event()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield Handler, digest
    Handler.stall.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetcher(cache: Path, digest: str) -> subprocess.Popen[str]:
    """Another process that fetches the tiny wheel and prints where it lies."""
    code = (
        "import sys; from pathlib import Path; from llmops_core.fetch import fetch\n"
        "print(fetch(sys.argv[1], sys.argv[2], cache=Path(sys.argv[3]), offline=False, token='',"
        " tell=lambda done, total: None))"
    )
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", code, TINY, digest, str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        start_new_session=True,
    )


def wait_for(true: Callable[[], object]) -> None:
    """Wait until something is so; fails after 20 seconds."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_look_for_pip_leaves_distutils_as_it_was() -> None:
    # compiling layers imports both, perhaps after a fetch in the same process
    code = (
        "from llmops_core.address import parse; from llmops_core.fetch_pypi import pip_command\n"
        f"pip_command(parse({TINY!r}))\n"
        "import distutils.core, setuptools"
    )
    words = [sys.executable, "-W", "error::UserWarning", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_processes_fetching_at_once_download_once(
    slow: tuple[type[SlowIndex], str], tmp_path: Path
) -> None:
    handler, digest = slow
    cache = tmp_path / "cache"
    processes = [fetcher(cache, digest), fetcher(cache, digest)]
    wait_for(lambda: handler.asked)
    handler.stall.set()
    told = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    places = {out.strip() for out, _ in told}
    assert len(places) == 1
    assert handler.asked == 1
    assert len(list(cache.glob("*/"))) == 1
    assert not list(cache.glob(".*.partial"))


def test_a_kill_in_the_middle_leaves_nothing_that_is_trusted(
    slow: tuple[type[SlowIndex], str], bring: Bring, tmp_path: Path
) -> None:
    handler, digest = slow
    process = fetcher(tmp_path / "cache", digest)
    wait_for(lambda: handler.asked)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert list((tmp_path / "cache").glob(".*.partial"))
    with pytest.raises(OfflineError):
        bring(TINY, digest, offline=True)
    handler.stall.set()
    assert (bring(TINY, digest) / "tiny" / "x.bin").stat().st_size == 256 * 4096
    assert not list((tmp_path / "cache").glob(".*.partial"))


def test_a_file_address_gives_the_path_itself_and_checks_a_given_digest(bring: Bring, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    assert bring(f"file:{rows}", offline=True) == rows
    assert bring(f"file:{tmp_path}", content_digest(tmp_path)) == tmp_path
    assert download_size(f"file:{rows}") == 0
    with pytest.raises(FetchError, match="another sha256"):
        bring(f"file:{rows}", "0" * 64)
    with pytest.raises(FetchError, match="no such file"):
        bring(f"file:{tmp_path}/nowhere")


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's file system in memory, emptied afterwards."""
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def test_fsspec_brings_a_file_and_keeps_it_offline(bring: Bring, memory: fsspec.AbstractFileSystem) -> None:
    content = b"row\n" * 1_000_000
    memory.pipe("/bucket/rows.jsonl", content)
    digest = hashlib.sha256(content).hexdigest()
    place = bring("memory://bucket/rows.jsonl", digest)
    assert (place.name, place.read_bytes()) == ("rows.jsonl", content)
    memory.rm("/bucket/rows.jsonl")
    assert bring("memory://bucket/rows.jsonl", digest, offline=True) == place


def test_fsspec_brings_a_folder_by_its_tree_digest(
    bring: Bring, memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    (tmp_path / "same" / "deep").mkdir(parents=True)
    for name, content in {"a.txt": b"a", "deep/data": b"b"}.items():
        memory.pipe(f"/bucket/data/{name}", content)
        (tmp_path / "same" / name).write_bytes(content)
    place = bring("memory://bucket/data", content_digest(tmp_path / "same"))
    assert (place / "deep" / "data").read_bytes() == b"b"


def test_fsspec_needs_a_digest_and_checks_it(
    bring: Bring, memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    memory.pipe("/bucket/rows.jsonl", b"rows")
    right = hashlib.sha256(b"rows").hexdigest()
    with pytest.raises(FetchError, match=f"write sha256: {right}"):
        bring("memory://bucket/rows.jsonl")
    with pytest.raises(FetchError, match=f"got {right}"):
        bring("memory://bucket/rows.jsonl", "0" * 64)
    with pytest.raises(FetchError, match="nothing there"):
        bring("memory://bucket/nowhere", right)
    assert kept(tmp_path / "cache") == []


def test_an_unknown_scheme_names_known_ones(bring: Bring) -> None:
    with pytest.raises(FetchError, match=r"nosuch.*pypi, hf, file, s3"):
        bring("nosuch://bucket/rows", "0" * 64)


def test_a_token_goes_only_where_it_is_of_use(bring: Bring) -> None:
    with pytest.raises(FetchError) as caught:
        bring("memory://bucket/rows", "0" * 64, token="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "of no use" in str(caught.value)


def test_the_size_of_a_remote_thing_is_not_known_for_free() -> None:
    assert download_size(CORPUS) is None


def test_pips_rounded_size_is_read() -> None:
    log = "  Downloading tiny-1.0-py3-none-any.whl.metadata (1 kB)\n  Downloading tiny.whl (93.4 MB)\n"
    assert fetch_pypi.size_in(log) == 93_400_000
    assert fetch_pypi.size_in("Collecting tiny") == 0
