"""A small plugin of one data stage, installed anew for each test, in which a line can be made wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmops_core.testing.examination import Examination, examining
from llmops_core.testing.findings import Verdict
from llmops_core.testing.verdicts import CHECKS, verdict

PLUGIN = '''\
"""Offers one way to make data."""
from llmops_core.hookspecs import Implementation, hookimpl
LLMOPS_CONTRACT = 1

@hookimpl
def llmops_implementations():
    """It."""
    return [Implementation("data", "PACKAGE", "PACKAGE.config:Count", "PACKAGE.work:count", "Counts.")]
'''
CONFIG = '''\
"""Its fields."""
from dataclasses import dataclass
from llmops_core.settings import setting

@dataclass(frozen=True)
class Count:
    """Rows with numbers."""

    rows: int = setting(6, doc="How many.", at_least=1, at_most=100)
    scale: float = setting(1.0, doc="What they are multiplied with.", above=0)
    workers: int = setting(1, doc="How many at once.", at_least=1, output=False)
    key: str | None = setting(None, doc="A secret.", secret=True)
'''
WORK = '''\
"""Its work."""
import json
from llmops_core.artifacts import Dataset

def count(config, run):
    """Rows with numbers."""
    password = run.secret(config.key) if config.key else ""
    done = run.scratch / "done.json"
    start = json.loads(done.read_text()) if done.exists() else 0
    for number in range(start, config.rows):
        run.progress(number, config.rows)
        done.with_suffix(".new").write_text(json.dumps(number))
        done.with_suffix(".new").replace(done)
    with (run.folder / "train.jsonl").open("w") as file:
        file.writelines(json.dumps({"n": number * config.scale}) + "\\n" for number in range(config.rows))
    rows = {"train": config.rows}
    return Dataset(folder=run.folder, rows=rows, shape="numbers")
'''
numbers = itertools.count()


@dataclass
class Bench:
    """Where plugins are installed and examined."""

    folder: Path

    def install(self, edits: Mapping[str, tuple[str, str]] | None = None) -> str:
        """Install the plugin with one text replaced in each of some files; gives its name."""
        package = f"bench_{next(numbers)}"
        sources = {"plugin.py": PLUGIN, "config.py": CONFIG, "work.py": WORK, "__init__.py": '"""It."""\n'}
        (self.folder / package).mkdir()
        for name, (old, new) in (edits or {}).items():
            assert old in sources[name], old
            sources[name] = sources[name].replace(old, new, 1)
        for name, text in sources.items():
            (self.folder / package / name).write_text(text.replace("PACKAGE", package), encoding="utf-8")
        info = self.folder / f"{package}-2.1.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_text(f"[llmops]\n{package} = {package}.plugin\n")
        return package

    @contextmanager
    def examining(self, name: str, time_limit: float = 60.0) -> Iterator[Examination]:
        with examining(name, time_limit=time_limit) as found:
            yield found

    def says(self, name: str, title: str, time_limit: float = 60.0) -> Verdict:
        """What the check of this title says of an installed plugin."""
        check = next(one for one in CHECKS if one.title == title)
        with self.examining(name, time_limit) as exam:
            return verdict(check, exam)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An empty folder on the path of this process and of those it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return Bench(folder)
