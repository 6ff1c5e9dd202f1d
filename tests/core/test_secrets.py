"""A planted secret, searched for in every file and every stream."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmops_core.errors import LlmopsError, SecretError, StepError
from llmops_core.manifest import read_run
from llmops_core.secrets import HIDDEN, SHORTEST, Secrets, named_in, redacted_streams
from llmops_core.step import StepRun
from tests.conftest import CommandLine, Project
from tests.stand_ins import Instead

PLANTED = 'pl4nted"s3cret/with\\odd+chars'
LEAK = """\
import logging, subprocess, sys, warnings
from llmops_core.hookspecs import hookimpl
from llmops_core.errors import StepError

class Library:
    def __init__(self, token):
        self.token = token

    def login(self, how):
        print("printing", self.token)
        sys.stderr.write(f"writing {self.token}\\n")
        logging.getLogger("library").warning("logging %r", {"token": self.token})
        warnings.warn(f"warning of {self.token}")
        try:
            raise ValueError(self.token)
        except ValueError as error:
            logging.getLogger("library").exception("failed")
            if how == "ours":
                raise StepError(f"no login with {self.token}", remedy=f"Check {self.token}.") from error
            if how == "theirs":
                raise RuntimeError(f"no login with {self.token}\\nand {self.token!r}") from error
            if how == "exit":
                sys.exit(f"giving up on {self.token}")

@hookimpl(tryfirst=True)
def llmops_run_step(step, run):
    if step.name == "data":
        how = (run.state.parent / "how").read_text()
        token = run.secret(step.config.token)
        run.log(f"logged {token}")
        run.warn(f"warned {token}")
        run.metric(f"metric {token}", 1.0)
        run.progress(1, 2, **{token: 1.0})
        Library(token).login(how)
"""


@pytest.mark.parametrize("how", ["done", "ours", "theirs", "exit"])
def test_a_planted_secret_is_in_no_file_and_no_stream(
    project: Project, llmops: CommandLine, how: str
) -> None:
    point = llmops.site / "leak-1.0.dist-info" / "entry_points.txt"
    point.parent.mkdir()
    point.write_text("[llmops]\nleak = leak\n")
    (llmops.site / "leak.py").write_text(LEAK)
    project.write("how", how)
    words = ["--debug", "run", "recipe.yaml", "data.token=${secret:PLANTED}"]
    told = llmops(*words, *(["--json"] if how == "ours" else []), PLANTED=PLANTED)
    assert told.returncode == (0 if how == "done" else 1), told.stderr
    assert how == "done" or "Traceback" in told.stderr
    assert HIDDEN in told.stderr and "writing [secret]" in told.stderr
    shown = [told.stdout, told.stderr]
    shown += [llmops("runs", "show", *more).stdout for more in ([], ["--json"])]
    assert all(shown), "what is searched is there"
    everything = "\n".join(shown) + "".join(contents(project.store.root))
    for spelling in (PLANTED, json.dumps(PLANTED)[1:-1], repr(PLANTED)[1:-1]):
        assert spelling not in everything
    assert "pl4nted" not in everything
    log = (project.store.root / "runs" / "1" / "log.txt").read_text()
    assert "logging {'token': '[secret]'}" in log
    manifest = json.loads((project.store.root / "runs" / "1" / "manifest.json").read_text())
    assert manifest["config"]["data"]["token"] == "${secret:PLANTED}"
    assert manifest["steps"][0]["warnings"] == ["warned [secret]"] + ["careful with [secret]"] * (
        how == "done"
    )


def contents(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    return [f"{path}\n{path.read_bytes().decode('utf-8', 'replace')}\n" for path in files]


def test_what_a_library_reads_by_itself_is_hidden_too(project: Project, llmops: CommandLine) -> None:
    told = llmops("run", "recipe.yaml", "data.fail=no login with hf_abcdefgh", HF_TOKEN="hf_abcdefgh")
    assert "RuntimeError: no login with [secret]" in told.stderr
    assert "hf_abcdefgh" not in told.stdout + told.stderr + "".join(contents(project.store.root / "runs"))


def test_a_secret_that_is_not_set_is_named_and_the_step_fails(project: Project) -> None:
    with pytest.raises(
        SecretError, match=r"the secret NOWHERE is not set\. Set the environment variable NOWHERE"
    ):
        project.run("data.token='${secret:NOWHERE}'")


def test_a_secret_that_a_late_step_lacks_is_told_before_the_first_one_runs(project: Project) -> None:
    with pytest.raises(SecretError, match="deploy: the secret NOWHERE is not set"):
        project.run("deploy.token='${secret:NOWHERE}'")
    assert {step["status"] for step in read_run(project.store, "1").document["steps"]} == {"pending"}


def test_a_secret_of_a_step_that_is_reused_need_not_be_set(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCE", "a-long-secret")
    project.run("data.token='${secret:ONCE}'")
    monkeypatch.delenv("ONCE")
    assert project.run("data.token='${secret:ONCE}'").step("data")["status"] == "reused"


def test_a_secret_too_short_to_hide_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "done")
    with pytest.raises(SecretError, match="the secret SHORT has fewer than 6 characters"):
        project.run("data.token='${secret:SHORT}'")
    assert read_run(project.store, "1").status == "failed"


def test_a_secret_that_looks_like_part_of_a_digest_harms_no_record(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = project.run()
    monkeypatch.setenv("ODD", whole.step("model")["output"][:8])
    monkeypatch.setenv("ODDER", "reused")
    again = project.run("data.token='${secret:ODD}'", "data.workers=2")
    project.run("data.token='${secret:ODDER}'")
    record = read_run(project.store, again.id)
    assert record.step("model")["output"] == whole.step("model")["output"]
    assert read_run(project.store, "3").step("model")["status"] == "reused"


def test_errors_of_ours_and_their_causes_are_told_without_the_secret(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", PLANTED)

    def leak(run: StepRun) -> Any:
        raise StepError(
            f"bad token {run.secret('${secret:PLANTED}')}", where="data", remedy=f"Not {PLANTED}!"
        )

    project.extra = [("leak", Instead("data", leak))]
    with pytest.raises(LlmopsError) as caught:
        project.run()
    assert str(caught.value) == "data: bad token [secret]. Not [secret]!"
    assert PLANTED not in json.dumps(read_run(project.store, "1").document)


def test_streams_are_redacted_only_within(capsys: pytest.CaptureFixture[str]) -> None:
    secrets = Secrets()
    secrets.hide("topsecret", "X")
    out, err = sys.stdout, sys.stderr
    with redacted_streams(secrets):
        print("a", "topsecret", "b")  # noqa: T201
        print("topsecret", file=sys.stderr)  # noqa: T201
        sys.stdout.writelines(["topsecret\n", "fine\n"])
        assert sys.stdout.fileno and not sys.stdout.closed
        sys.stderr.write(warnings.formatwarning("about topsecret", UserWarning, "library.py", 1))
        handler = logging.StreamHandler()
        handler.emit(logging.LogRecord("x", 30, "", 0, "log topsecret", (), None))
    assert (sys.stdout, sys.stderr) == (out, err)
    told = capsys.readouterr()
    assert "topsecret" not in told.out + told.err
    assert told.out == "a [secret] b\n[secret]\nfine\n"
    assert "log [secret]" in told.err


@given(st.text(min_size=SHORTEST), st.text(), st.text())
def test_no_text_or_json_or_repr_shows_a_hidden_value(value: str, before: str, after: str) -> None:
    secrets = Secrets()
    secrets.hide(value, "X")
    for spelled in (value, json.dumps(value)[1:-1], repr(value)[1:-1]):
        shown = secrets.redact({"a": [f"{before}{spelled}{after}"], spelled: 1})
        rest = json.dumps(shown).replace(json.dumps(HIDDEN)[1:-1], "")
        assert value in HIDDEN or value not in [*shown, *shown["a"]]
        assert HIDDEN in shown["a"][0] or value in HIDDEN, rest


def test_one_secret_inside_another_leaves_no_rest() -> None:
    secrets = Secrets()
    secrets.hide("abcdef", "SHORT")
    secrets.hide("abcdefghij", "LONG")
    assert secrets.redact("abcdefghij abcdef") == "[secret] [secret]"


def test_a_key_of_many_lines_is_hidden_line_by_line() -> None:
    secrets = Secrets()
    secrets.hide("-----BEGIN-----\nMIIEvQIBADAN\n-----END-----\n", "PEM")
    assert secrets.redact("> MIIEvQIBADAN <") == "> [secret] <"


def test_the_names_in_a_recipe_are_found_wherever_they_stand() -> None:
    values = {"a": "${secret:A}", "b": [{"c": "x ${secret:B_2} ${secret:C}"}], "d": 3}
    assert list(named_in(values)) == ["A", "B_2", "C"]


@pytest.mark.parametrize("name", ["DB_PASSWD", "ACME_APIKEY", "AWS_ACCESS_KEY_ID", "MY_PRIVATEKEY"])
def test_variables_named_like_a_secret_are_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "abcdefgh")
    secrets = Secrets()
    secrets.expect_usual()
    assert secrets.redact("it is abcdefgh") == "it is [secret]"


def test_the_environment_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abcdefgh")
    monkeypatch.setenv("SOME_PATH", "/usr/bin")
    secrets = Secrets()
    secrets.expect_usual()
    assert secrets.redact("abcdefgh /usr/bin") == "[secret] /usr/bin"
    assert os.environ["SOME_TOKEN"] == "abcdefgh"
