"""Through recipes: what a run leaves on disk, in one process and in two, with one key and with another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmops_core.artifacts import Dataset
from llmops_core.cli import cli
from llmops_core.errors import LlmopsError
from llmops_core.manifest import Manifest
from llmops_privacy.pseudonyms import key_of
from tests.conftest import Project

from .conftest import SECRET

PLANTED = ("anna.schmidt@firma.de", "4111 1111 1111 1111", "+49 30 901820", "DE89370400440532013000")
RECIPE = """\
defaults:
  - base
  - _self_

data:
  use: dialogues
  source: rows.jsonl
  steps:
    personal_data: {%s}
    near: {threshold: 0.9}
"""
KEYED = "action: pseudonymise, key: '${secret:PSEUDONYM_KEY}', fingerprint: %s"


def word(number: int) -> str:
    """A word that is like no other's."""
    return str(number).translate(str.maketrans("0123456789", "abcdefghij"))


def write(project: Project, settings: str = "", rows: int = 30) -> None:
    """A recipe with the step, and rows of which every third holds something."""
    project.write("recipe.yaml", RECIPE % settings)
    lines = [
        json.dumps(
            {
                "prompt": f"{word(number**9)} is what? "
                + (PLANTED[number // 3 % 4] if number % 3 == 0 else ""),
                "completion": f"It is {word(number**7)}.",
            }
        )
        for number in range(rows)
    ]
    project.write("rows.jsonl", "\n".join(lines))


def dataset(run: Manifest) -> Dataset:
    found = run.artifact(run.step("data")["output"])
    assert isinstance(found, Dataset)
    return found


def every_byte(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("action", ["redact", "mask", "drop", "pseudonymise"])
def test_no_value_is_left_in_dataset_record_log_or_store(
    action: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSEUDONYM_KEY", SECRET)
    keyed = KEYED % key_of(SECRET, "KEY").fingerprint
    write(project, keyed if action == "pseudonymise" else f"action: {action}")
    made = project.run()
    assert made.document["status"] == "done"
    for path, content in every_byte(project.store.root).items():
        # what steps before it gave, and what was read, are kept to be read again
        if "/cache/" in path:
            continue
        for value in (*PLANTED, SECRET):
            assert value.encode() not in content, path


def test_the_funnel_tells_what_was_found_by_kind_and_field(project: Project) -> None:
    write(project)
    entry = next(one for one in dataset(project.run()).funnel if one["step"] == "personal_data")
    assert entry["rows"] == 30
    assert entry["counts"] == {
        "rows with personal data": 10,
        "CREDIT_CARD redacted in user": 3,
        "EMAIL_ADDRESS redacted in user": 3,
        "IBAN_CODE redacted in user": 2,
        "PHONE_NUMBER redacted in user": 2,
        "rows with CREDIT_CARD": 3,
        "rows with EMAIL_ADDRESS": 3,
        "rows with IBAN_CODE": 2,
        "rows with PHONE_NUMBER": 2,
    }
    assert "10 rows with personal data" in entry["note"]


def test_two_processes_give_the_bytes_and_the_pseudonyms_of_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PSEUDONYM_KEY", SECRET)
    digests = []
    for workers in (1, 2):
        write(project, KEYED % key_of(SECRET, "KEY").fingerprint, rows=9000)
        made = project.run(f"data.workers={workers}", f"store=store{workers}", "~data.steps.near")
        digests.append((made.step("data")["output"], dataset(made).funnel))
    assert digests[0] == digests[1]


def test_another_key_makes_another_dataset_and_a_changed_secret_is_not_taken_for_the_old_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "another-key-of-many-letters"
    write(project, KEYED % key_of(SECRET, "KEY").fingerprint)
    monkeypatch.setenv("PSEUDONYM_KEY", SECRET)
    first = project.run().step("data")["output"]
    write(project, KEYED % key_of(other, "KEY").fingerprint)
    with pytest.raises(LlmopsError, match="give the key that was meant"):
        project.run()
    monkeypatch.setenv("PSEUDONYM_KEY", other)
    assert project.run().step("data")["output"] != first


def test_a_dataset_with_personal_data_left_is_not_published(project: Project) -> None:
    def tag(*words: str) -> Result:
        return CliRunner().invoke(cli, ["data", "tag", "latest", "published", *words], prog_name="llmops")

    write(project, "action: report")
    project.run()
    refused = tag()
    assert refused.exit_code != 0
    assert "personal_data" in f"{refused.output}{refused.exception}"
    assert "EMAIL_ADDRESS" in f"{refused.output}{refused.exception}"
    assert all(value not in f"{refused.output}{refused.exception}" for value in PLANTED)
    assert tag("--allow", "personal_data=0.5").exit_code == 0
    write(project)
    project.run()
    done = CliRunner().invoke(cli, ["data", "tag", "latest", "clean"], prog_name="llmops")
    assert done.exit_code == 0 and "personal_data: nothing found" in done.output


def test_names_without_what_they_need_are_told_before_anything_runs(project: Project) -> None:
    write(project, "tier: names, model: en_core_web_xl")
    (problem,) = project.problems()
    assert problem.where == "data.steps.personal_data.model"
    assert "en_core_web_xl is not installed here" in problem.what
    assert "recipe.yaml" in problem.origin


def test_examples_of_duplicates_do_not_show_what_is_taken_out(project: Project) -> None:
    write(project)
    twice = [json.dumps({"prompt": f"Twice {PLANTED[0]}?", "completion": f"Yes{end}"}) for end in ".!"]
    project.write("rows.jsonl", "\n".join([project.folder.joinpath("rows.jsonl").read_text(), *twice]))
    made = dataset(project.run())
    shown = made.path("train").with_name("duplicates.jsonl").read_text()
    assert "Twice [EMAIL_ADDRESS]?" in shown and PLANTED[0] not in shown
    text = project.folder.joinpath("recipe.yaml").read_text()
    near = "    near: {threshold: 0.9}\n"
    project.write("recipe.yaml", text.replace(near, "").replace("  steps:\n", f"  steps:\n{near}"))
    (problem,) = project.problems()
    assert problem.where == "data.steps.personal_data" and "Put personal_data before near" in problem.remedy
    project.check("data.examples=0")
