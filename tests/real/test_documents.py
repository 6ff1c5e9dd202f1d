"""Every command and every recipe in README.md and docs/ runs as it stands there.

A `console` block holds commands after "$ "; what follows a command is a sample of its output. A block that
shows a failure says so: ```console exit=2. The make targets are what CI itself runs; here they are only read.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmops_core.check import check
from llmops_core.plugins import load
from tests.real.conftest import Person

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").rglob("*.md"))]
ROWS = (
    '{"question": "Is it on?", "answer": "It is on."}\n{"prompt": "Who are you?", "completion": "A test."}\n'
)


def blocks(page: Path, kind: str) -> Iterator[tuple[str, str]]:
    """(what follows the language on the fence, content) of each block of a language."""
    for language, words, content in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == kind:
            yield words.strip(), content


def commands() -> list[tuple[str, str, int]]:
    """(page, command, the exit status it is shown with)."""
    return [
        (page.name, line[2:], int(words.removeprefix("exit=") or 0))
        for page in PAGES
        for words, content in blocks(page, "console")
        for line in content.splitlines()
        if line.startswith("$ ")
    ]


@pytest.mark.real
@pytest.mark.parametrize(("page", "command", "status"), commands())
def test_a_command_in_the_documents_does_what_it_shows(
    page: str, command: str, status: int, person: Person, quickstart: dict[str, Any], tmp_path: Path
) -> None:
    words = shlex.split(command)
    rows = person.folder / "rows.jsonl"
    rows.write_text(ROWS)
    try:
        done = person.types(*words[1:]) if words[0] == "llmops" else None
    finally:
        rows.unlink()
    assert done is not None, f"{command} in {page} is no llmops command"
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout or done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_recipe_in_the_documents_is_right(page: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    for number, (_, content) in enumerate(blocks(page, "yaml")):
        if "defaults:" in content:
            recipe = tmp_path / f"recipe{number}.yaml"
            recipe.write_text(content, encoding="utf-8")
            assert check(str(recipe), (), load(), modules=False).steps


@pytest.mark.parametrize("target", ["quickstart", "test", "check"])
def test_a_make_target_of_the_documents_exists(target: str) -> None:
    done = subprocess.run(
        ["make", "-n", "-C", str(ROOT), target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
