"""One run of the quickstart with the real model and data, shared by every test that needs its outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LLMOPS = Path(sys.executable).with_name("llmops")


@dataclass(frozen=True)
class Person:
    """Someone typing commands in a folder."""

    folder: Path

    def types(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `llmops WORDS` as its own process, and give what it printed."""
        return subprocess.run(
            [str(LLMOPS), *words],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def runs(self, *words: str, **environment: str) -> dict[str, Any]:
        """Run a recipe and give its manifest; fails the test when the run fails."""
        done = self.types("run", *words, "--json", **environment)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Someone in an empty folder; the store it comes to hold is shared by the tests."""
    return Person(tmp_path_factory.mktemp("person"))


@pytest.fixture(scope="session")
def quickstart(person: Person) -> dict[str, Any]:
    """The manifest of a first run of the quickstart, as `make quickstart` runs it, and under "written" what
    then lies in the person's folder."""
    manifest = person.runs("quickstart")
    return {**manifest, "written": sorted(path.name for path in person.folder.iterdir())}
