"""Datasets in a store: listing, comparing, tagging after audits, exporting."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from llmops_core.artifacts import Dataset
from llmops_core.errors import GateRefused, LlmopsError, UsageError
from llmops_core.manifest import new_run
from llmops_core.secrets import Secrets
from llmops_core.store import Store
from llmops_data.auditing import Limits, audit
from llmops_data.commands import data
from llmops_data.comparing import difference
from llmops_data.drifting import divergence, drift, stability
from llmops_data.profile import profile
from llmops_data.tags import move, tagged, tags
from llmops_data.versions import version, versions

Rows = Mapping[str, Sequence[tuple[str, str]]]


@dataclass
class Shelf:
    """A store with datasets that runs have made."""

    store: Store
    runs: int = field(default=0)

    def put(self, rows: Rows, recipe: str = "talks", step: str = "data") -> Dataset:
        """Store a dataset, as a run of a recipe would."""
        dataset = self.keep(rows)
        record = {"name": step, "stage": "data", "status": "done", "output": dataset.digest}
        run = new_run(self.store, {"recipe": recipe, "steps": [record]}, Secrets())
        run.document["status"] = "done"
        run.save()
        return dataset

    def keep(self, rows: Rows) -> Dataset:
        """Store a dataset that no run has made."""
        temporary = self.store.temporary("test")
        for split, pairs in rows.items():
            lines = [json.dumps({"messages": said(*pair)}) + "\n" for pair in pairs]
            (temporary / "files" / f"{split}.jsonl").write_text("".join(lines))
        counts = {split: len(pairs) for split, pairs in rows.items()}
        funnel = ({"step": "read", "rows": sum(counts.values()), "note": "1 source"},)
        made = Dataset(folder=temporary / "files", rows=counts, shape="messages", funnel=funnel)
        found = self.store.publish(made, temporary)
        assert isinstance(found, Dataset)
        return found

    def types(self, *words: str) -> str:
        """What `llmops data WORDS` prints; raises what it raises."""
        done = CliRunner().invoke(data, ["--store", str(self.store.root), *words])
        if done.exception is not None:
            raise done.exception
        return done.output


def said(asked: str, answered: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def pairs(count: int, start: int = 0) -> list[tuple[str, str]]:
    return [
        (f"What is number {n}?", f"It is {n * 7} and {'rather ' * (n % 5)}large.")
        for n in range(start, start + count)
    ]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    store = Store(tmp_path / "store")
    store.prepare()
    return Shelf(store)


def test_versions_know_their_recipe_run_parent_and_tags(shelf: Shelf) -> None:
    first = shelf.put({"train": pairs(10)})
    shelf.put({"train": pairs(3)}, recipe="other")
    second = shelf.put({"train": pairs(12)})
    again = shelf.put({"train": pairs(12)})
    loose = shelf.keep({"train": pairs(1)})
    move(shelf.store, "good", first.digest, ())
    assert again.digest == second.digest
    found = versions(shelf.store)
    assert found[0].digest == second.digest
    assert found[-1].digest == loose.digest and found[-1].run == ""
    latest = version(shelf.store, "latest")
    assert (latest.recipe, latest.step, latest.run, latest.parent) == ("talks", "data", "4", first.digest)
    assert version(shelf.store, "good").digest == first.digest
    assert version(shelf.store, first.digest[:8]).tags == ["good"]
    with pytest.raises(UsageError, match=r"no dataset nothing.*llmops data list"):
        version(shelf.store, "nothing")


def test_a_step_that_goes_back_and_forth_has_the_one_before_as_parent(shelf: Shelf) -> None:
    first, second = shelf.put({"train": pairs(1)}), shelf.put({"train": pairs(2)})
    shelf.put({"train": pairs(1)})
    assert version(shelf.store, first.digest).parent == second.digest


def test_rows_that_went_came_changed_and_moved_are_counted_and_shown(shelf: Shelf) -> None:
    old = shelf.keep({"train": pairs(10), "test": pairs(3, 10)})
    kept = pairs(13)
    kept_answer = kept[4][1]
    kept[4] = (kept[4][0], "Another answer.")
    new = shelf.keep({"train": [*kept[1:9], *pairs(2, 50), kept[10]], "test": [*kept[11:13], kept[9]]})
    found = difference(old, new, examples=1)
    assert (found.removed, found.added, found.changed, found.moved, found.same) == (1, 2, 1, 2, 9)
    assert found.examples["removed"][0]["row"] == {"messages": said(*pairs(1)[0])}
    assert found.examples["added"][0]["row"] == {"messages": said(*pairs(51)[50])}
    [changed] = found.examples["changed"]
    assert (changed["at"], changed["was_at"]) == ("train:4", "train:5")
    answer = {"field": "messages[1].content", "was": kept_answer, "now": "Another answer."}
    assert changed["fields"] == [answer]
    assert [(one["was_at"], one["at"]) for one in found.examples["moved"]] == [("test:1", "train:11")]
    nothing = difference(old, old)
    assert (nothing.removed, nothing.added, nothing.changed, nothing.moved, nothing.same) == (0, 0, 0, 0, 13)


@pytest.mark.parametrize(
    ("rows", "failing"),
    [
        ({"train": pairs(20), "test": pairs(4, 20)}, set()),
        ({"train": [*pairs(20), pairs(1)[0]]}, {"duplicates"}),
        ({"train": pairs(20), "test": pairs(2)}, {"duplicates", "leaks"}),
        ({"train": [*pairs(20), ("Asked?", " ")]}, {"empty"}),
    ],
)
def test_each_audit_fails_for_what_it_is_for(shelf: Shelf, rows: Rows, failing: set[str]) -> None:
    audits = list(audit(shelf.keep(rows), None, Limits()))
    assert {one.name for one in audits if not one.passed} == failing
    assert {one.name for one in audits} == {"schema", "rows", "empty", "nulls", "duplicates", "leaks"}


def test_a_row_of_another_shape_fails_the_schema(shelf: Shelf) -> None:
    temporary = shelf.store.temporary("test")
    (temporary / "files" / "train.jsonl").write_text('{"messages": []}\n{"text": "x"}\nnot json\n')
    made = Dataset(folder=temporary / "files", rows={"train": 3}, shape="messages")
    failed = {one.name: one.told for one in audit(made, None, Limits()) if one.name == "schema"}
    assert failed["schema"].startswith('3 rows are not of the shape messages: train:1 {"messages": []}')


def test_drift_is_found_in_lengths_words_languages_and_size(shelf: Shelf) -> None:
    before = shelf.keep({"train": pairs(200)})
    alike = shelf.keep({"train": pairs(200, 100)})
    other = shelf.keep(
        {"train": [(f"Was ist {n}?", "Das ist doch ganz einfach, mein Lieber. " * 9) for n in range(60)]}
    )
    assert all(one.passed for one in audit(alike, before, Limits()))
    failed = {one.name for one in audit(other, before, Limits()) if not one.passed}
    assert failed == {"shrinking", "lengths", "words", "languages"}
    assert set(drift(profile(before), profile(before)).values()) == {0.0}


def test_divergences_have_their_known_values() -> None:
    assert divergence({"a": 1}, {"b": 3}) == pytest.approx(1.0)
    assert divergence({"a": 2, "b": 2}, {"a": 7, "b": 7}) == pytest.approx(0.0)
    assert stability([50, 50], [50, 50]) == 0.0
    assert stability([50, 50], [80, 20]) == pytest.approx(0.3 * 0.4700036 + 0.3 * 0.9162907)


def test_a_tag_moves_only_to_what_passes_and_keeps_its_history(shelf: Shelf) -> None:
    good, bad = shelf.put({"train": pairs(50)}), shelf.put({"train": [*pairs(50), pairs(1)[0]]})
    better = shelf.put({"train": pairs(55)})
    assert "published names " in shelf.types("tag", good.digest[:10], "published")
    with pytest.raises(
        GateRefused,
        match=f"not moved, it still names {good.digest[:12]}.*1 row .* copies .*allowed: 0 %.*--allow",
    ):
        shelf.types("tag", bad.digest, "published")
    assert version(shelf.store, "published").digest == good.digest
    shelf.types("tag", bad.digest, "published", "--allow", "duplicates=0.1")
    shelf.types("tag", "latest", "published")
    tag = tagged(shelf.store, "published")
    assert tag is not None and tag.digest == better.digest
    assert [one["digest"] for one in tag.history] == [good.digest, bad.digest]


@pytest.mark.parametrize("name", ["latest", "Published", "a/b", "../x", "abcdef", "", "1st"])
def test_a_tag_that_could_be_mistaken_is_refused(name: str, shelf: Shelf) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        move(shelf.store, name, "0" * 64, ())
    assert tags(shelf.store) == []


def test_the_commands_print_for_people_and_for_programs(shelf: Shelf) -> None:
    old, new = shelf.put({"train": pairs(10)}), shelf.put({"train": pairs(9, 1)})
    listed = shelf.types("list")
    assert listed.index(new.digest[:12]) < listed.index(old.digest[:12])
    assert "talks · data · run 2" in listed
    [first, _] = json.loads(shelf.types("list", "--json"))
    assert (first["digest"], first["parent"], first["rows"]) == (new.digest, old.digest, {"train": 9})
    shown = shelf.types("show")
    assert "1 source" in shown and "en 9" in shown
    assert json.loads(shelf.types("show", "--json"))["histogram"]["splits"]["train"]
    told = shelf.types("diff", old.digest, "latest", "--examples", "1")
    assert "        1 removed\n" in told and "number 0?" in told
    assert json.loads(shelf.types("diff", old.digest, new.digest, "--json"))["same"] == 9


def test_a_dataset_is_exported_and_nothing_overwritten(shelf: Shelf, tmp_path: Path) -> None:
    dataset = shelf.put({"train": pairs(10), "test": []})
    shelf.types("export", "latest", str(tmp_path / "out"))
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == dataset.path("train").read_bytes()
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["digest"] == dataset.digest
    with pytest.raises(UsageError, match="is there already"):
        shelf.types("export", "latest", str(tmp_path / "out"))
    shelf.types("export", "latest", str(tmp_path / "columns"), "--format", "parquet")
    read: list[Any] = pq.read_table(tmp_path / "columns" / "train.parquet").to_pylist()
    assert [row["messages"][0]["content"] for row in read] == [asked for asked, _ in pairs(10)]


def test_an_empty_store_has_no_datasets(shelf: Shelf) -> None:
    assert shelf.types("list") == "no datasets yet\n"
    with pytest.raises(LlmopsError, match="no dataset latest"):
        shelf.types("show")


def test_naming_the_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys, llmops_data.commands\n"
        "sys.exit(bool({'numpy', 'pyarrow', 'yaml', 'rensa', 'py3langid', 'hydra'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{root}:{root / 'plugins'}", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0


def test_the_report_stands_alone_and_shows_what_the_json_says(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put({"train": pairs(50), "test": pairs(5, 50)})
    evil = ("<script>alert(1)</script>?", "No & never.")
    dataset = shelf.put({"train": [*pairs(60), evil], "test": []})
    place = tmp_path / "report.html"
    shelf.types("report", "latest", "-o", str(place))
    page, numbers = place.read_text(), json.loads(place.with_suffix(".json").read_text())
    assert numbers["digest"] == dataset.digest and numbers["rows"] == {"train": 61, "test": 0}
    assert set(numbers["drift"]) == {"lengths", "words", "languages"}
    assert numbers["lengths"]["unit"] == "words" and "no tokenizer is known" in page
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in page.replace("&#x27;", "'") and "http" not in page.replace(
        "http-equiv", ""
    )
    for told in ("Rows left by each step", "Length of a row", "Languages", "Drift", "what is number", "61"):
        assert told in page
    assert sum(numbers["histogram"]["splits"]["train"]) == 61
    assert numbers["characters"]["train"]["100%"] == max(len(a + b) for a, b in [*pairs(60), evil])


def test_the_report_of_an_empty_dataset_says_little_and_fails_not(shelf: Shelf, tmp_path: Path) -> None:
    shelf.keep({"train": [], "test": []})
    shelf.types("report", "-o", str(tmp_path / "empty.html"))
    assert "0 rows" in (tmp_path / "empty.html").read_text()


def test_a_sample_is_the_same_whoever_takes_it(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmops_data.profile.SAMPLED", 100)
    dataset = shelf.keep({"train": pairs(1000)})
    first, second = profile(dataset), profile(dataset)
    assert first == second
    assert 50 < first["sampled"] < 160


def test_a_library_that_is_missing_is_named(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put({"train": pairs(1)})
    monkeypatch.setitem(sys.modules, "llmops_data.profile", None)
    with pytest.raises(UsageError, match=r"not installed.*pip install 'llmops\[data\]'"):
        shelf.types("show")
