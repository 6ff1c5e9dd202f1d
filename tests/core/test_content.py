"""Digests of files and folders."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llmops_core.content import content_digest, file_sizes
from llmops_core.errors import FetchError


def tree(folder: Path) -> Path:
    (folder / "b" / "c").mkdir(parents=True)
    (folder / "a.txt").write_text("first")
    (folder / "b" / "c" / "deep.txt").write_text("second")
    (folder / "b.txt").write_text("third")
    (folder / "B, with a name.txt").write_text("fourth")
    return folder


def test_a_file_has_the_digest_that_sha256sum_shows(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"some bytes")
    assert content_digest(tmp_path / "x") == hashlib.sha256(b"some bytes").hexdigest()


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs GNU tools")
def test_a_folder_has_the_digest_that_the_documented_command_gives(tmp_path: Path) -> None:
    folder = tree(tmp_path / "folder")
    command = next(line for line in (content_digest.__doc__ or "").splitlines() if "sha256sum" in line)
    run = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout.split()[0] == content_digest(folder)


def test_a_folder_digest_depends_on_content_and_names_only(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "one"), tree(tmp_path / "two")
    os.utime(second / "a.txt", (1, 1))
    (second / "a.txt").chmod(0o600)
    (second / "empty").mkdir()
    assert content_digest(first) == content_digest(second)
    before = content_digest(second)
    (second / "b.txt").rename(second / "renamed.txt")
    renamed = content_digest(second)
    (second / "a.txt").write_text("changed")
    assert len({before, renamed, content_digest(second)}) == 3


def test_links_count_as_what_they_point_at(tmp_path: Path) -> None:
    folder = tree(tmp_path / "folder")
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in file_sizes(folder):
        (linked / name).parent.mkdir(parents=True, exist_ok=True)
        (linked / name).symlink_to(folder / name)
    assert content_digest(linked) == content_digest(folder)


def test_a_link_in_a_circle_and_a_missing_file_are_told(tmp_path: Path) -> None:
    folder = tree(tmp_path / "folder")
    (folder / "b" / "up").symlink_to(folder)
    with pytest.raises(FetchError, match="round in a circle"):
        content_digest(folder)
    with pytest.raises(FetchError, match="cannot be read: No such file"):
        content_digest(tmp_path / "nowhere")
