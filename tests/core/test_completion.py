"""What the shell offers."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Project


def offered(folder: Path, words: str, incomplete: str = "") -> list[str]:
    """What completing the last word of a command line gives."""
    line = f"llmops {words} {incomplete}".rstrip() + ("" if incomplete else " ")
    environment = {
        **os.environ,
        "_LLMOPS_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - (1 if incomplete else 0)),
    }
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv=['llmops']; from llmops_core.cli import main; main()"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [answer.partition(",")[2] for answer in done.stdout.split()]


def test_commands_and_recipes_are_offered(project: Project) -> None:
    assert {"run", "plan", "check", "show"} <= set(offered(project.folder, ""))
    assert "quickstart" in offered(project.folder, "run", "qu")


def test_commands_of_plugins_and_their_arguments_are_offered(project: Project) -> None:
    assert "data" in offered(project.folder, "")
    assert offered(project.folder, "show", "b") == ["batch"]
    assert "quickstart" in offered(project.folder, "show batch", "qu")
    assert "train.lr=" in offered(project.folder, "show batch quickstart", "train.l")


def test_groups_options_and_fields_of_the_recipe_are_offered(project: Project) -> None:
    assert {"train=", "model="} <= set(offered(project.folder, "check quickstart"))
    assert "model=local" in offered(project.folder, "check quickstart", "model=")
    assert "train.tuning=full" in offered(project.folder, "check quickstart", "train.tuning=f")
    found = offered(project.folder, "check quickstart", "train.")
    assert {"train.lr=", "train.epochs=", "train.tuning="} <= set(found)
    assert all(one.startswith("train.") for one in found)


def test_steps_are_removed_and_environments_chosen_by_name(project: Project) -> None:
    assert "~train" in offered(project.folder, "check quickstart", "~")
    assert set(offered(project.folder, "check quickstart", "env=")) == {"env=dev", "env=staging", "env=prod"}


def test_steps_with_names_of_their_own_are_completed_too(project: Project) -> None:
    project.write("r.yaml", "defaults:\n  - quickstart\n  - data@docs: dialogues\n")
    assert "docs.sources=" in offered(project.folder, "check ./r.yaml", "docs.s")
    assert "docs=local" in offered(project.folder, "check ./r.yaml", "docs=")


@pytest.mark.parametrize("recipe", ["./nothing.yaml", "nothing", "./broken.yaml"])
def test_a_recipe_that_cannot_be_read_offers_nothing_and_says_nothing(project: Project, recipe: str) -> None:
    project.write("broken.yaml", "a: [\n")
    assert "train.lr=" not in offered(project.folder, f"check {recipe}", "train.")


def in_bash(folder: Path, *words: str) -> list[str]:
    """What bash itself is offered for words that it has broken at = and @."""
    asks = f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}"
    script = f"""
        eval "$(_LLMOPS_COMPLETE=bash_source llmops)"
        {asks}
        _llmops_completion llmops 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    command = folder / "bin" / "llmops"
    command.parent.mkdir()
    start = "import sys; sys.argv[0] = 'llmops'; from llmops_core.cli import main; main()"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{start}" "$@"\n')
    command.chmod(0o755)
    told = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stderr == ""
    return told.stdout.split()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("model", "="), {"local", "smollm2_135m"}),
        (("model", "=", "lo"), {"local"}),
        (("train.tuning", "=", "fu"), {"full"}),
        (("data", "@", "documents", "=", "lo"), {"local"}),
        (("train.l",), {"train.lr="}),
        (("train/tun",), {"train/tuning="}),
    ],
)
def test_bash_completes_what_it_has_broken_into_words(
    project: Project, typed: tuple[str, ...], expected: set[str]
) -> None:
    assert expected <= set(found := in_bash(project.folder, "llmops", "run", "quickstart", *typed))
    assert len(found) == len(set(found))


def test_recipes_in_this_folder_are_offered_by_name(project: Project) -> None:
    assert offered(project.folder, "run", "rec") == ["recipe.yaml"]
