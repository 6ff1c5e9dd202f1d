"""What is missing for which recipe, and the one command that fixes it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from llmops_core.doctor import diagnose
from tests.conftest import CommandLine, Project


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = project.plugins()
    lightning = plugins.find("train", "lightning")
    assert lightning is not None
    lacking = dataclasses.replace(lightning, needs=("nothing_called_so",), extra="llmops[train]")
    plugins.implementations[("train", "lightning")] = lacking
    found = diagnose(plugins)
    assert "nothing_called_so" in found.recipes["quickstart"]
    assert found.fix == "pip install 'llmops[train]'"
    assert not found.healthy
    assert "fix it with: pip install 'llmops[train]'" in str(found)


def test_extras_of_ours_are_one_command(project: Project) -> None:
    plugins = project.plugins()
    for group, name, extra in (("train", "lightning", "train"), ("data", "dialogues", "data")):
        one = plugins.find(group, name)
        assert one is not None
        changed = dataclasses.replace(one, needs=(f"no_such_{extra}",), extra=f"llmops[{extra}]")
        plugins.implementations[(group, name)] = changed
    assert diagnose(plugins).fix == "pip install 'llmops[data,train]'"


def test_a_healthy_machine_has_nothing_to_fix(project: Project, llmops: CommandLine) -> None:
    told = llmops("doctor", "--json", LLMOPS_OFFLINE="1")
    document = json.loads(told.stdout)
    assert document["recipes"]["quickstart"] == "ready"
    assert document["machine"]["network"] == "forbidden by LLMOPS_OFFLINE"
    assert (document["healthy"], told.returncode) == (True, 0)
    assert document["fix"] == ""


def test_a_broken_plugin_is_a_problem_and_not_the_end(project: Project, llmops: CommandLine) -> None:
    (llmops.site / "bad-2.0.dist-info").mkdir()
    (llmops.site / "bad-2.0.dist-info" / "entry_points.txt").write_text("[llmops]\nbad = no_such_module\n")
    told = llmops("doctor")
    assert told.returncode == 1
    assert "problem: bad 2.0: the plugin bad cannot be imported" in told.stdout
    assert "Traceback" not in told.stderr
