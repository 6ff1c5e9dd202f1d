"""The Hugging Face hub's addresses, against a small hub of our own on this machine."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmops_core.content import content_digest
from llmops_core.errors import FetchError, OfflineError
from llmops_core.fetch import download_size, fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = f"hf://org/tiny@{COMMIT}"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": bytes(range(256)) * 400,
    "pytorch_model.bin": b"the same in another format",
    "onnx/model.onnx": b"and in another",
    "tokenizer/vocab.txt": b"a b c",
}
LARGE = ("model.safetensors", "pytorch_model.bin")


def listed(name: str, content: bytes) -> dict[str, Any]:
    """A file as the hub's tree lists it: git's digest, and for a large file its sha256."""
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": git}
    if name in LARGE:
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
    return entry


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks: a tree's listing, and files with their headers."""

    protocol_version = "HTTP/1.1"
    served: dict[str, bytes]
    tokens: set[str]
    asked: list[str]
    wanted_token = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        self.tokens.add(self.headers.get("Authorization", ""))
        repository = "datasets/org/tiny" if "datasets" in self.path else "org/tiny"
        kind = "datasets" if "datasets" in self.path else "models"
        if self.wanted_token and self.headers.get("Authorization") != f"Bearer {self.wanted_token}":
            self._send(401, b"{}", {"X-Error-Code": "GatedRepo"}, body)
        elif self.path.partition("?")[0] == f"/api/{kind}/org/tiny/tree/{COMMIT}":
            listing = [listed(name, FILES[name]) for name in self.served]
            self._send(200, json.dumps(listing).encode(), {"Content-Type": "application/json"}, body)
        elif (name := self.path.removeprefix(f"/{repository}/resolve/{COMMIT}/")) in self.served:
            entry = listed(name, FILES[name])
            headers = {"ETag": f'"{entry.get("lfs", entry)["oid"]}"', "X-Repo-Commit": COMMIT}
            self._send(200, self.served[name], headers, body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *values: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub with one repository, and an empty cache of the hub's library."""
    constants = pytest.importorskip("huggingface_hub.constants")

    class Serving(Hub):
        """Of this test alone."""

    Serving.served, Serving.tokens, Serving.asked = dict(FILES), set(), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Serving)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield Serving
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., Path]:
    """fetch with a cache of its own."""

    def call(address: str, sha256: str = "", *, offline: bool = False, token: str = "") -> Path:
        cache = tmp_path / "cache"
        return fetch(
            address, sha256, cache=cache, offline=offline, token=token, tell=lambda done, total: None
        )

    return call


def test_a_model_comes_without_its_copies_in_other_formats(
    hub: type[Hub], bring: Callable[..., Path]
) -> None:
    place = bring(MODEL)
    found = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    assert found == ["config.json", "model.safetensors", "tokenizer/vocab.txt"]
    assert (place / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_what_came_is_there_offline_without_asking_again(
    hub: type[Hub], bring: Callable[..., Path], tmp_path: Path
) -> None:
    place = bring(MODEL)
    asked = len(hub.asked)
    assert bring(MODEL, offline=True) == place
    assert len(hub.asked) == asked
    assert download_size(MODEL, cache=tmp_path / "cache") == 0
    (place / "config.json").resolve().unlink()
    with pytest.raises(OfflineError, match="is damaged"):
        bring(MODEL, offline=True)
    with pytest.raises(OfflineError, match="has not been fetched"):
        bring(f"hf://org/other@{COMMIT}", offline=True)


def test_a_path_brings_that_file_or_folder_only(hub: type[Hub], bring: Callable[..., Path]) -> None:
    weights = bring(f"{MODEL}/pytorch_model.bin")
    assert weights.read_bytes() == FILES["pytorch_model.bin"]
    folder = bring(f"{MODEL}/tokenizer")
    assert [path.name for path in folder.iterdir()] == ["vocab.txt"]
    assert not any("safetensors" in path for path in hub.asked)
    with pytest.raises(FetchError, match=r"holds no nowhere.*config.json"):
        bring(f"{MODEL}/nowhere")


def test_a_data_set_comes_whole(hub: type[Hub], bring: Callable[..., Path]) -> None:
    place = bring(f"hf://datasets/org/tiny@{COMMIT}")
    assert {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} == set(FILES)


def test_a_digest_given_beside_it_is_checked_too(
    hub: type[Hub], bring: Callable[..., Path], tmp_path: Path
) -> None:
    address = f"hf://datasets/org/tiny@{COMMIT}"
    with pytest.raises(FetchError, match="another sha256"):
        bring(address, "0" * 64)
    for name, content in FILES.items():
        (tmp_path / "same" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "same" / name).write_bytes(content)
    assert bring(address, content_digest(tmp_path / "same")).is_dir()
    vocabulary = hashlib.sha256(FILES["tokenizer/vocab.txt"]).hexdigest()
    assert bring(f"{address}/tokenizer/vocab.txt", vocabulary).is_file()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_what_the_hub_lists_is_refused(
    hub: type[Hub], bring: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    hub.served[name] = bytes(len(FILES[name]))
    with pytest.raises(FetchError, match=f"{name} is not what the hub lists"):
        bring(MODEL)
    hub.served[name] = FILES[name]
    assert (bring(MODEL) / name).read_bytes() == FILES[name]


def test_a_gated_model_needs_the_token_and_no_error_shows_it(
    hub: type[Hub], bring: Callable[..., Path]
) -> None:
    hub.wanted_token = "hf_right"
    with pytest.raises(FetchError) as caught:
        bring(MODEL, token="hf_wrong")
    assert "hf_wrong" not in str(caught.value)
    assert "${secret:HF_TOKEN}" in str(caught.value)
    assert bring(MODEL, token="hf_right").is_dir()
    assert "Bearer hf_right" in hub.tokens


def test_a_commit_that_is_not_there_and_a_dead_hub_are_told(
    hub: type[Hub],
    bring: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(FetchError, match="no such commit"):
        bring(f"hf://org/tiny@{COMMIT[::-1]}")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(FetchError, match="did not give it") as caught:
        bring(f"hf://org/other@{COMMIT}")
    assert "HF_ENDPOINT" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_progress_is_told_in_bytes_and_nothing_is_printed(
    hub: type[Hub], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []
    fetch(MODEL, "", cache=tmp_path / "c", offline=False, token="", tell=lambda *bytes_: told.append(bytes_))
    total = sum(len(FILES[name]) for name in ("config.json", "model.safetensors", "tokenizer/vocab.txt"))
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert capfd.readouterr() == ("", "")
