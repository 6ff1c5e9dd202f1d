"""What docs/how-to/remove-personal-data.md shows is right: its recipes check, its commands run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmops_core.check import check
from llmops_core.plugins import load
from tests.docs.pages import blocks, write_files

PAGE = "how-to/remove-personal-data.md"


def test_the_recipes_of_the_page_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(PAGE, tmp_path)
    monkeypatch.chdir(tmp_path)
    texts = [block.text for block in blocks(PAGE) if block.language == "yaml"]
    assert len(texts) == 2
    for text in texts:
        opening = "" if "defaults:" in text else "defaults:\n  - base\n  - _self_\n\n"
        (tmp_path / "one.yaml").write_text(opening + text)
        found = check("./one.yaml", (), load(), modules=False)
        assert [step.name for step in found.steps] == ["data"]


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    command = tmp_path / "bin" / "llmops"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom llmops_core.cli import main\nmain()\n")
    command.chmod(0o755)
    script = "set -ex\n"
    for block in (one for one in blocks(PAGE) if one.language == "bash"):
        status = block.says.get("status", "0")
        script += (
            f"set +e\n{block.text}[ $? = {status} ] || exit 9\nset -e\n" if status != "0" else block.text
        )
    environment = {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    words = ["bash", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "EMAIL_ADDRESS redacted in assistant" in done.stdout
    assert "anna" not in done.stdout
