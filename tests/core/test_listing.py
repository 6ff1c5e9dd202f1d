"""What the commands print, and what they end with."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from llmops_core import listing
from llmops_core.errors import Problem
from llmops_core.hookspecs import Estimate
from llmops_core.manifest import Manifest, read_run
from tests.conftest import CommandLine, Project


def test_columns_line_up_and_an_empty_table_is_empty() -> None:
    assert listing.columns([("a", "bb"), ("ccc", "")]) == "  a    bb\n  ccc"
    assert listing.columns([]) == ""


def test_problems_are_counted_placed_and_told_what_to_do() -> None:
    one = Problem("train.lr", "must be above 0", "Give a positive number.", "command line")
    assert listing.problems("x", [one]) == (
        "1 problem in x\n\n  train.lr  must be above 0. Give a positive number. (command line)"
    )
    assert listing.problems("x", [one, one]).startswith("2 problems in x")


def test_a_plan_says_what_runs_what_is_reused_and_what_it_needs(project: Project) -> None:
    first = listing.plan(project.plan(), project.store.root).splitlines()
    assert re.match(
        r"recipe · 6 steps · 0 reused, 5 to run, 1 always acts · dev · store .*\.llmops", first[0]
    )
    assert first[2].split()[:5] == ["data", "run", "never", "run", "yet"]
    assert "~2.0 s, 1.0 MB memory" in first[2]
    assert "expected: ~4.0 s, 1.0 MB of memory at most" in first
    project.run()
    second = listing.plan(project.plan("train.lr=0.3"), project.store.root).splitlines()
    assert "2 reused, 3 to run, 1 always acts" in second[0]
    assert second[4].split()[:2] == ["train", "run"] and "train.lr: 0.1 -> 0.3" in second[4]
    assert "unless train's output is unchanged" in second[5]


def test_a_run_shows_estimates_beside_actuals_warnings_and_its_error(project: Project) -> None:
    project.run()
    with pytest.raises(Exception, match="gone wrong"):
        project.run("data.rows=9", "data.fail=gone wrong")
    text = listing.run(read_run(project.store, "1"))
    assert re.search(
        r"train +done +fake-tuned.* (ms|s) \(expected 2\.0 s\), [\d.]+ MB \(expected 1\.0 MB\)", text
    )
    failed = listing.run(read_run(project.store, "2"))
    assert "run 2 · recipe · failed" in failed
    assert "overrides: data.rows=9 data.fail=gone wrong" in failed
    assert re.search(r"  data +failed +RuntimeError: gone wrong", failed)
    assert re.search(r"  train +pending$", failed, re.MULTILINE)
    assert "data: RuntimeError: gone wrong. The whole traceback is in" in failed


def test_the_list_of_runs_has_a_line_a_run(project: Project) -> None:
    assert listing.runs([]) == "no runs yet"
    project.run()
    (line,) = listing.runs([read_run(project.store, "1")]).splitlines()
    assert line.split()[:3] == ["1", "done", "recipe"]


# -- exit statuses and streams ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["run", "recipe.yaml"], 0, ""),
        (
            ["run", "recipe.yaml", "data.fail=broken"],
            1,
            "error: data: RuntimeError: broken. The whole traceback",
        ),
        (["run", "recipe.yaml", "trian.lr=3"], 2, "1 problem in recipe"),
        (["run"], 2, "which recipe?"),
        (["run", "nowhere.yaml"], 2, "nowhere"),
        (["nonsense"], 2, "No such command"),
        (["runs", "show", "7"], 2, "there is no run 7"),
        (["run", "recipe.yaml", "release.at_least=0.9"], 3, "accuracy 0.5 is below 0.9 by 0.4"),
    ],
)
def test_every_end_has_its_exit_status(
    project: Project, llmops: CommandLine, words: list[str], status: int, said: str
) -> None:
    told = llmops(*words)
    assert (told.returncode, said in told.stderr) == (status, True), told.stderr
    assert "Traceback" not in told.stdout + told.stderr
    assert len(told.stderr.splitlines()) < 20


@pytest.mark.parametrize(
    "words", [("runs",), ("runs", "show"), ("store", "verify"), ("store", "gc"), ("releases", "history")]
)
def test_the_store_may_be_named_after_the_command(
    project: Project, llmops: CommandLine, words: tuple[str, ...]
) -> None:
    llmops("run", "recipe.yaml", "--store", "elsewhere")
    told = llmops(*words, "--store", "elsewhere")
    assert told.returncode == 0, told.stderr
    assert told.stdout == llmops(words[0], "--store", "elsewhere", *words[1:]).stdout
    assert llmops(*words).stdout != told.stdout or words[0] == "store"


def test_a_failed_step_names_the_file_that_it_failed_on() -> None:
    error = {"where": "file:rows.jsonl", "what": "there is not one row in it"}
    steps = [{"name": "data", "status": "failed", "error": error}]
    assert "file:rows.jsonl: there is not one row in it" in listing.run_table({"steps": steps})
    error.update(where="data", what="two gates missed\n  bleu is low\n  nll is high")
    assert listing.run_table({"steps": steps}).endswith("two gates missed: bleu is low; nll is high")


def test_a_step_that_a_killed_run_was_at_is_shown_as_killed(project: Project) -> None:
    found = project.run()
    found.document["status"] = found.step("train")["status"] = "running"
    killed = Killed(found.folder, found.document, found.store)
    assert re.search(r"^  train +killed", listing.run(killed), re.MULTILINE)


class Killed(Manifest):
    """The record of a run whose process is gone."""

    @property
    def status(self) -> str:
        return "killed"


def test_a_store_that_is_a_file_is_told(project: Project, llmops: CommandLine) -> None:
    told = llmops("runs", "--store", "recipe.yaml")
    assert told.stderr.startswith("error: the store recipe.yaml is not a folder. Set store=FOLDER")


def test_a_plan_says_that_what_it_would_download_is_forbidden(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = SimpleNamespace(name="model")
    planned = SimpleNamespace(step=step, action="run", estimates=[Estimate("download", 5e6, "its index")])
    found: Any = SimpleNamespace(steps=[planned])
    assert "forbids" not in listing.total(found)
    monkeypatch.setenv("LLMOPS_OFFLINE", "1")
    assert "expected: 5.0 MB to download (which LLMOPS_OFFLINE forbids)" in listing.total(found)


def test_two_runs_alike_differ_in_nothing(project: Project, llmops: CommandLine) -> None:
    for _ in range(2):
        llmops("run", "recipe.yaml", "~deploy")
    assert llmops("runs", "diff", "1", "2").stdout == "no difference\n"


def test_a_run_that_repeats_another_bears_its_recipe_s_name(project: Project, llmops: CommandLine) -> None:
    project.write("own.yaml", (project.folder / "recipe.yaml").read_text())
    llmops("run", "own.yaml")
    assert llmops("plan", "--from", "1").stdout.startswith("own · ")


def test_time_stands_before_memory_whatever_order_a_plugin_tells_them_in() -> None:
    found = [Estimate("memory", 2e9, "measured"), Estimate("time", 3.0, "measured")]
    assert listing.needs(found) == listing.needs(found[::-1]) == "~3.0 s, 2.0 GB memory"


def test_a_refused_gate_still_shows_the_table_and_the_scores(project: Project, llmops: CommandLine) -> None:
    told = llmops("run", "recipe.yaml", "release.at_least=0.9")
    assert re.search(r"^  release +refused$", told.stderr, re.MULTILINE)
    assert re.search(r"^  evaluate +done +accuracy 0\.5", told.stdout, re.MULTILINE)
    assert re.search(r"^  release +refused +accuracy 0\.5 is below 0\.9 by 0\.4", told.stdout, re.MULTILINE)
    assert re.search(r"^  deploy +pending", told.stdout, re.MULTILINE)
    assert "refused in " in told.stdout and "llmops runs show 1" in told.stdout
    assert told.stderr.splitlines()[-1] == "error: accuracy 0.5 is below 0.9 by 0.4."


@pytest.mark.parametrize("refused", [False, True])
def test_json_is_all_that_is_on_standard_output_even_when_a_step_prints(
    project: Project, llmops: CommandLine, refused: bool
) -> None:
    (llmops.site / "loud-1.0.dist-info").mkdir()
    (llmops.site / "loud-1.0.dist-info" / "entry_points.txt").write_text("[llmops]\nloud = loud\n")
    (llmops.site / "loud.py").write_text(
        "import os, subprocess\n"
        "from llmops_core.hookspecs import hookimpl\n"
        "@hookimpl(tryfirst=True)\n"
        "def llmops_run_step(step, run):\n"
        "    print('printed by a step')\n"
        "    os.write(1, b'written by a library\\n')\n"
        "    subprocess.run(['echo', 'said by a child'])\n"
        "    run.metric('odd', float('nan'))\n"
    )
    told = llmops("run", "recipe.yaml", "--json", *(["release.at_least=0.9"] if refused else []))
    assert told.returncode == (3 if refused else 0)
    document = json.loads(told.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert document["status"] == ("refused" if refused else "done")
    assert document["steps"][0]["metrics"] == {"odd": None}
    for line in ("printed by a step", "written by a library", "said by a child"):
        assert line in told.stderr


def test_every_json_output_is_one_document(project: Project, llmops: CommandLine) -> None:
    project.run()
    project.run("train.lr=0.2")
    for words in (
        ["plan", "recipe.yaml"],
        ["check", "recipe.yaml"],
        ["show", "config", "recipe.yaml"],
        ["runs"],
        ["runs", "show"],
        ["runs", "diff", "1", "2"],
        ["releases"],
        ["releases", "show"],
        ["store", "verify"],
        ["store", "gc", "--dry-run"],
    ):
        if words == ["runs", "show"]:
            words = ["runs", "show", "2"]
        told = llmops(*words, "--json")
        assert told.returncode == 0, told.stderr
        document: Any = json.loads(told.stdout)
        assert document is not None


def test_a_reader_that_goes_away_is_no_error(project: Project, llmops: CommandLine) -> None:
    with llmops.start("show", "schema") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
