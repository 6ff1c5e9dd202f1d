"""The tutorial, followed to the letter; what comes out is the distribution that lies beside it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.installing import Environment

PAGE = "tutorial/README.md"
BESIDE = ROOT / "docs" / "tutorial" / "acme-phrases"
STEPS = {"llmops run": "done", "llmops plan": "reuse", "pytest": " passed", "llmops plugin check": "run 7/7"}
"""What has to be printed by commands that begin so."""


def follow(environment: Environment, folder: Path) -> Path:
    """Do all that the page says; gives the folder it ends in."""
    for block in blocks(PAGE):
        if name := block.says.get("file"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(block.text, encoding="utf-8")
            continue
        assert block.language == "bash", block
        for line in block.text.splitlines():
            if line.startswith("cd "):
                folder = folder / line.removeprefix("cd ")
                continue
            done = environment.start(*_words(line), cwd=folder)
            told = done.stdout + done.stderr
            assert done.returncode == int(block.says.get("status", "0")), f"{line}\n{told}"
            for opening, wanted in STEPS.items():
                assert wanted in told or not line.startswith(opening), f"{line}\n{told}"
    return folder


def _words(line: str) -> list[str]:
    words = shlex.split(line)
    # what the machine's index would be asked for is here already
    offline = ["--no-build-isolation"] if words[:2] in (["pip", "install"], ["pip", "wheel"]) else []
    return [*words[:2], *offline, *words[2:]]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment = Environment.make(tmp_path_factory.mktemp("environment"))
    return follow(environment, tmp_path_factory.mktemp("tutorial"))


def test_the_tutorial_works_as_written_and_ends_with_a_wheel(followed: Path) -> None:
    assert [path.name for path in (followed / "dist").iterdir()] == ["acme_phrases-0.1.0-py3-none-any.whl"]


def test_the_distribution_beside_the_page_is_what_comes_out(followed: Path) -> None:
    theirs = {
        path.relative_to(BESIDE): path.read_text(encoding="utf-8")
        for path in BESIDE.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
    }
    assert theirs == {name: (followed / name).read_text(encoding="utf-8") for name in theirs}
    assert Path("acme_phrases/plugin.py") in theirs
