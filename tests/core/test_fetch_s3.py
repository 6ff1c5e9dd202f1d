"""Object stores that speak S3, against a real server of that API on this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmops_core import fetch_fsspec
from llmops_core.errors import FetchError
from llmops_core.fetch import fetch

boto3 = pytest.importorskip("boto3")
s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

KEYS = {"key": "AKIAEXAMPLE12345", "secret": "not-shown-anywhere"}
PARTS = {f"chats/2026/part-{number}.jsonl": f'{{"n": {number}}}\n'.encode() for number in range(3)}
COMMIT = "c1a7f0a5d9e34b0c8f6d2e1b7a9c3d5e"

ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}

Bring = Callable[..., Path]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The server's address; it holds three parts of chats, a card beside them, and a repository's commit."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def client(endpoint: str) -> Iterator[Any]:
    """Amazon's own client of the server."""
    made = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEYS["key"],
        aws_secret_access_key=KEYS["secret"],
        region_name="us-east-1",
    )
    yield made
    made.close()


@pytest.fixture
def bucket(client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client, with the bucket `acme` filled, and nothing else that would give credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # how often it asks again is its own affair
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    client.create_bucket(Bucket="acme")
    for name, content in {**PARTS, "chats/README.md": b"about", "chats/2026/sub/": b""}.items():
        client.put_object(Bucket="acme", Key=name, Body=content)
    yield client
    for found in client.list_objects_v2(Bucket="acme").get("Contents", ()):
        client.delete_object(Bucket="acme", Key=found["Key"])


@pytest.fixture
def bring(tmp_path: Path, endpoint: str, bucket: Any) -> Bring:
    """fetch from the server; without a digest it is tried twice, as a person would."""

    def call(address: str, sha256: str | None = None, **options: Any) -> Path:
        chosen = {"endpoint_url": endpoint, **KEYS, **options}
        given = {name: value for name, value in chosen.items() if value is not None}

        def once(digest: str) -> Path:
            cache = tmp_path / "cache"
            return fetch(
                address, digest, cache=cache, offline=False, token="", tell=lambda *told: None, options=given
            )

        if sha256 is not None:
            return once(sha256)
        with pytest.raises(FetchError, match="write sha256: ") as caught:
            once("")
        return once(str(caught.value).split("write sha256: ")[1][:64])

    return call


def record(tmp_path: Path) -> dict[str, Any]:
    """What is kept of the only arrival."""
    [place] = (tmp_path / "cache").glob("s3-*/record.json")
    found: dict[str, Any] = json.loads(place.read_text())
    return found


def names(place: Path) -> list[str]:
    return sorted(one.relative_to(place).as_posix() for one in place.rglob("*") if one.is_file())


def test_an_object_comes_with_its_etag_on_record(bring: Bring, tmp_path: Path) -> None:
    place = bring("s3://acme/chats/2026/part-1.jsonl")
    assert place.read_bytes() == PARTS["chats/2026/part-1.jsonl"]
    [version] = record(tmp_path)["versions"].values()
    assert version.startswith("ETag ") and len(version) == 37
    assert KEYS["secret"] not in json.dumps(record(tmp_path))


def test_an_object_of_a_bucket_with_versions_is_recorded_by_its_version(
    bring: Bring, bucket: Any, tmp_path: Path
) -> None:
    bucket.create_bucket(Bucket="kept")
    bucket.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    put = bucket.put_object(Bucket="kept", Key="rows.jsonl", Body=b"{}")
    bring("s3://kept/rows.jsonl", version_aware=True)
    assert record(tmp_path)["versions"] == {"rows.jsonl": f"VersionId {put['VersionId']}"}


def test_a_pattern_brings_what_matches_and_a_folder_all(bring: Bring) -> None:
    assert names(bring("s3://acme/chats/*/part-*.jsonl")) == [f"2026/part-{n}.jsonl" for n in range(3)]
    assert names(bring("s3://acme/chats")) == [
        "2026/part-0.jsonl",
        "2026/part-1.jsonl",
        "2026/part-2.jsonl",
        "README.md",
    ]
    assert names(bring("s3://acme/**/part-2.jsonl")) == ["chats/2026/part-2.jsonl"]


def test_a_repository_at_a_commit_is_read_as_lakefs_gateway_shows_it(bring: Bring, bucket: Any) -> None:
    bucket.create_bucket(Bucket="my-repository")
    bucket.put_object(Bucket="my-repository", Key=f"{COMMIT}/rows/a.jsonl", Body=b"{}")
    assert names(bring(f"s3://my-repository/{COMMIT}/rows")) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("address", "options", "told"),
    [
        ("s3://nosuchbucket/rows", {}, "nothing there: The specified bucket does not exist"),
        ("s3://acme/none.jsonl", {}, "there is nothing there. Check the address"),
        ("s3://acme/none-*.jsonl", {}, "there is nothing there. Check the address"),
        ("s3://acme/chats", {"key": None, "secret": None}, "no credentials: .*secrets: {key: ..secret:NAME}"),
        (
            "s3://acme/chats",
            {"endpoint_url": "http://127.0.0.1:1", **ONCE},
            "cannot be reached: .*endpoint_url",
        ),
        ("s3://acme/chats", {"endpont_url": "http://x"}, "endpont_url.*knows no such option"),
    ],
)
def test_what_is_wrong_is_told_on_one_line(
    address: str, options: dict[str, Any], told: str, bring: Bring, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match=told) as caught:
        bring(address, "a" * 64, **options)
    assert "\n" not in str(caught.value) and KEYS["secret"] not in str(caught.value)
    assert not list((tmp_path / "cache").glob("*/record.json"))


def test_a_store_that_refuses_is_told_with_its_own_words(bring: Bring, bucket: Any) -> None:
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shut/*"}
    bucket.create_bucket(Bucket="shut")
    bucket.put_object(Bucket="shut", Key="rows.jsonl", Body=b"{}")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    bucket.put_bucket_policy(Bucket="shut", Policy=policy)
    with pytest.raises(FetchError, match=r"refused: .*names of the secrets"):
        bring("s3://shut/rows.jsonl", "a" * 64)


@pytest.mark.parametrize("change", ["written", "added", "removed"])
def test_what_changes_while_it_is_read_is_refused(
    change: str, bring: Bring, bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = fetch_fsspec._copy

    def meanwhile(*given: Any) -> None:
        plain(*given)
        key = "chats/2026/part-3.jsonl" if change == "added" else "chats/2026/part-1.jsonl"
        if change == "removed":
            bucket.delete_object(Bucket="acme", Key=key)
        else:
            bucket.put_object(Bucket="acme", Key=key, Body=b'{"n": 9}\n')

    monkeypatch.setattr(fetch_fsspec, "_copy", meanwhile)
    with pytest.raises(FetchError, match=r"part-\d\.jsonl changed while it was read"):
        bring("s3://acme/chats/2026/*.jsonl", "a" * 64)
    assert not list((tmp_path / "cache").glob("*/record.json"))
