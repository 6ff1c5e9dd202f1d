"""The reference pages say what the code says."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from types import ModuleType

import pytest

from llmops_core.artifacts import KINDS
from llmops_core.plugins import load, resolve
from llmops_core.settings import declared
from tests.docs.pages import ROOT

SCRIPT = ROOT / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_page_differs_from_the_code(generate: ModuleType) -> None:
    assert generate.stale() == [], f"run: {generate.COMMAND}"


def test_every_field_stands_on_its_stage_page_with_unit_range_and_doc(generate: ModuleType) -> None:
    pages = generate.pages()
    for one in load().implementations.values():
        text = pages[f"stages/{one.group.partition('/')[0]}.md"]
        section = text.partition(f"## {one.group}: {one.name}\n")[2].partition("\n## ")[0]
        for field in dataclasses.fields(resolve(one.config)):
            says = declared(field)
            [row] = re.findall(rf"^\| `{field.name}` \|.*$", section, re.MULTILINE)
            assert says.doc.replace("|", "\\|") in row
            assert f"| {says.unit} |" in row
            assert f"| {'yes' if says.output else 'no'} |" in row
            if says.above is not None:
                assert f"> {says.above:g}" in row


def test_every_artifact_stands_on_the_page_with_its_facts(generate: ModuleType) -> None:
    text = generate.pages()["artifacts.md"]
    for name, kind in KINDS.items():
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        facts = {one.name for one in dataclasses.fields(kind)} - {"folder", "digest"}
        assert facts == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def test_the_index_names_every_page(generate: ModuleType) -> None:
    pages = generate.pages()
    assert all(f"]({name})" in pages["README.md"] for name in pages if name != "README.md")


def test_the_check_ends_with_status_one_only_when_a_page_differs(generate: ModuleType) -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if generate.stale() else 0)
    assert [
        line.removeprefix("differs: docs/reference/") for line in done.stdout.splitlines()
    ] == generate.stale()
