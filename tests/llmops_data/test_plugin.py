"""What the plugin offers, and how light it is."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llmops_core.check import check
from llmops_core.errors import RecipeError
from llmops_core.plugins import load
from llmops_core.settings import declared
from llmops_data.config import DialogueData, Near, Source, Split, Splits
from llmops_data.estimate import estimate
from llmops_data.plugin import llmops_implementations

ROOT = Path(__file__).resolve().parents[2]


def test_everything_offered_is_there() -> None:
    for one in llmops_implementations():
        for path in filter(None, (one.config, one.target, one.estimate)):
            module, _, name = path.partition(":")
            assert callable(getattr(importlib.import_module(module), name)), path


def test_every_field_is_documented() -> None:
    for one in llmops_implementations():
        module, _, name = one.config.partition(":")
        cls = getattr(importlib.import_module(module), name)
        assert all(declared(field).doc for field in cls.__dataclass_fields__.values())


def test_listing_and_configuring_imports_nothing_heavy() -> None:
    code = (
        "import sys, llmops_data.plugin, llmops_data.config, llmops_data.estimate\n"
        "sys.exit(bool({'yaml', 'rensa', 'numpy', 'hydra', 'fsspec', 'torch'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": ""}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_a_config_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="no source"):
        DialogueData()
    with pytest.raises(ValueError, match=r"name sources\.source is taken"):
        DialogueData(source="x.jsonl", sources={"source": Source(address="file:y")})
    with pytest.raises(ValueError, match="exact revision"):
        Source(address="hf://datasets/org/rows@main")
    with pytest.raises(ValueError, match="train split's share"):
        Splits(train=Split(0.0))


def test_a_package_named_by_two_sources_is_downloaded_once() -> None:
    source = Source(address="pypi://x@1.0", sha256="a" * 64, size=1000)
    two = DialogueData(sources={"one": source, "two": source, "here": Source(address="file:rows.jsonl")})
    assert [(found.what, found.value) for found in estimate(two, {})] == [("download", 1000.0)]
    assert estimate(DialogueData(source="rows.jsonl"), {}) == ()


@pytest.mark.parametrize("preset", ["dialogues", "local", "documents", "preferences"])
def test_the_presets_hold_only_known_fields_and_differences(preset: str) -> None:
    values = yaml.safe_load((ROOT / "conf" / "data" / f"{preset}.yaml").read_text())
    offered = {(one.group, one.name) for one in llmops_implementations()}
    assert ("data", values.pop("use")) in offered
    assert set(values) <= set(DialogueData.__dataclass_fields__)
    for name, step in values["steps"].items():
        assert ("data/step", step.get("use", name)) in offered
        if step.get("use") == "near":
            assert {key: step[key] for key in step if key != "use"} != {"threshold": Near().threshold}


def test_a_store_that_nothing_here_opens_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "defaults: [base, _self_]\n"
        "data:\n"
        "  use: dialogues\n"
        "  sources: {mine: {address: 's3://acme/rows.jsonl'}, here: {address: 'memory://rows.jsonl'}}\n"
        "  steps: {decontaminate: {against: {bench: {address: 's3://acme/bench.jsonl'}}}}\n"
    )
    plain = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "s3fs" else plain(name))
    with pytest.raises(RecipeError) as caught:
        check(str(tmp_path / "recipe.yaml"), (), load())
    told = {one.where: (one.what, one.remedy) for one in caught.value.problems}
    assert set(told) == {"data.sources.mine.address", "data.steps.decontaminate.against.bench.address"}
    assert set(told.values()) == {("s3:// needs s3fs, not installed here", "Run: pip install 'llmops[s3]'")}


@pytest.mark.parametrize("name", ["key", "secret", "token"])
def test_a_credential_among_the_options_is_refused_and_not_shown(name: str) -> None:
    with pytest.raises(ValueError, match=rf"write secrets: {{{name}: ") as caught:
        Source(address="s3://acme/rows", options={name: "AKIAEXAMPLE"})
    assert "AKIAEXAMPLE" not in str(caught.value)
    with pytest.raises(ValueError, match="for s3:// and the like"):
        Source(address="file:rows", options={"anon": True})


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("rows.jsonl", b"", "is empty"),
        ("rows.parquet", b"", "is empty"),
        ("rows.jsonl", b"\x7fELF\x02\x01\0\0", "holds bytes that are no text"),
        ("rows.csv", b"a,b\n\0\0", "holds bytes that are no text"),
    ],
)
@pytest.mark.parametrize("said", ["source: {}", "sources: {{mine: {{address: 'file:{}'}}}}"])
def test_a_file_that_can_hold_no_row_is_a_problem_before_anything_runs(
    said: str, name: str, content: bytes, what: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"defaults:\n  - base\n  - _self_\n\ndata:\n  use: dialogues\n  {said.format(name)}\n")
    with pytest.raises(RecipeError) as error:
        check(str(recipe), (), load(), modules=False)
    [problem] = error.value.problems
    assert what in problem.what and problem.where.startswith("data.source")
    (tmp_path / name).write_bytes(b"PAR1\0" if name == "rows.parquet" else b"{}")
    assert check(str(recipe), (), load(), modules=False).steps
