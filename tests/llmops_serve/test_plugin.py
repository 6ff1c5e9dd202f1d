"""The plugin's light face: what it offers, its preset, its estimate."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import yaml

from llmops_core.artifacts import Release
from llmops_core.settings import declared
from llmops_serve.config import OpenaiServerDeploy
from llmops_serve.estimate import openai_server
from llmops_serve.plugin import llmops_implementations
from llmops_serve.server_settings import settings_for

ROOT = Path(__file__).parents[2]


def test_everything_it_names_can_be_imported() -> None:
    (offered,) = llmops_implementations()
    assert (offered.group, offered.name) == ("deploy", "openai_server")
    for place in (offered.config, offered.target, offered.estimate, offered.undo):
        module, name = place.split(":")
        assert hasattr(importlib.import_module(module), name)
    for module in offered.needs:
        importlib.import_module(module)


def test_its_light_face_imports_nothing_heavy() -> None:
    code = (
        "import sys, llmops_serve.plugin, llmops_serve.config, llmops_serve.estimate\n"
        "print(sorted({'torch', 'transformers', 'starlette', 'uvicorn', 'openai'} & sys.modules.keys()))"
    )
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert out.stdout == "[]\n"


def test_every_field_is_documented_and_the_preset_names_only_fields() -> None:
    fields = {field.name: field for field in dataclasses.fields(OpenaiServerDeploy)}
    assert all(declared(field).doc.endswith(".") for field in fields.values())
    preset = yaml.safe_load((ROOT / "conf/deploy/openai_server.yaml").read_text())
    assert preset.pop("use") == "openai_server"
    assert preset.keys() <= fields.keys()


def test_the_estimate_knows_memory_once_the_release_is_known(release: Release) -> None:
    assert [one.what for one in openai_server(OpenaiServerDeploy(), {"release": None})] == ["time"]
    wide = {one.what: one for one in openai_server(OpenaiServerDeploy(), {"release": release})}
    narrow = {
        one.what: one for one in openai_server(OpenaiServerDeploy(dtype="bfloat16"), {"release": release})
    }
    assert wide["memory"].value > narrow["memory"].value > 0
    assert all(one.basis for one in wide.values())


def test_an_adapter_is_served_over_its_base(release: Release, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    base = release.candidate
    tuned = dataclasses.replace(base, folder=tmp_path, name="tuned", base=base)
    found = settings_for(OpenaiServerDeploy(), dataclasses.replace(release, candidate=tuned))
    assert (found.weights, found.adapter, found.model_name) == (str(base.folder), str(tmp_path), "tuned")
