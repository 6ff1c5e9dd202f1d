"""The data stage as a whole, on small files and on the real corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmops_core.content import content_digest
from llmops_core.errors import DataError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_data.config import DialogueData, Source, Split, Splits
from llmops_data.dialogues import dialogues
from llmops_data.rows import Row

from .conftest import Told, loading, part, step_run

PRESET = Path(__file__).resolve().parents[2] / "conf" / "data" / "dialogues.yaml"
STEPS = {
    "normalise": part("normalise"),
    "exact": part("exact"),
    "dedup": part("near", threshold=0.7),
    "questions": part("near", compare="prompt", action="group"),
    "length": part("length", max_characters=100),
}


def jsonl(path: Path, pairs: Sequence[tuple[str, str]], junk: Sequence[str] = ()) -> str:
    lines = [json.dumps({"prompt": asked, "completion": answered}) for asked, answered in pairs]
    path.write_text("\n".join([*lines, *junk]) + "\n")
    return str(path)


def various(count: int) -> list[tuple[str, str]]:
    names = [
        "river",
        "engine",
        "violin",
        "harbour",
        "pepper",
        "glacier",
        "ladder",
        "comet",
        "orchid",
        "tunnel",
    ]
    return [
        (
            f"{names[n % 10]} {names[(n * 7 + n // 10) % 10]} {n * n}?",
            f"Because of {n * 17} {names[(n + 3) % 10]}s.",
        )
        for n in range(count)
    ]


def test_rows_become_a_dataset_with_a_funnel_that_adds_up(run: StepRun, tmp_path: Path, told: Told) -> None:
    pairs = [*various(100), *various(100)[:30], ("x" * 200, "too long")]
    source = jsonl(tmp_path / "rows.jsonl", pairs, ["{broken"])
    found = dialogues(DialogueData(source=source, steps=STEPS), run)
    rows = {entry["step"]: entry["rows"] for entry in found.funnel}
    assert list(rows) == ["read", *STEPS, "split"]
    assert (rows["read"], rows["exact"]) == (131, 101)
    assert rows["length"] == rows["dedup"] - 1
    assert sum(found.rows.values()) == rows["split"] == rows["length"]
    assert found.shape == "messages"
    for split, count in found.rows.items():
        read = list(found.read(split))
        assert len(read) == count
        assert all([one["role"] for one in row["messages"]] == ["user", "assistant"] for row in read)
    assert len(told.warnings) == 1
    assert told.warnings[0].startswith("1 of 132 rows is broken and left out: source:132: it is not JSON")
    assert told.warnings[0].endswith("'{broken'")


def test_the_same_rows_in_another_place_give_the_same_bytes(tmp_path: Path) -> None:
    digests, facts = set(), []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        source = jsonl(tmp_path / place / f"{place}.jsonl", [*various(60), *various(20)])
        run = step_run(tmp_path / place)
        found = dialogues(DialogueData(source=source, steps=STEPS), run)
        digests.add(content_digest(run.folder))
        facts.append((found.rows, found.funnel))
    assert len(digests) == 1
    assert facts[0] == facts[1]


def test_too_many_broken_lines_fail_and_quote_the_first(run: StepRun, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "rows.jsonl", various(10), ["{a", "{b", "[]", "{c", "{d"])
    with pytest.raises(DataError) as caught:
        dialogues(DialogueData(source=source, max_broken_share=0.2), run)
    message = str(caught.value)
    for text in (
        "5 of 15",
        "source:11",
        "'{a'",
        "and 3 more like it",
        "source:13",
        "33.3%",
        "max_broken_share",
    ):
        assert text in message
    assert "'{c'" not in message
    assert not list(run.folder.iterdir())


def test_data_without_a_row_is_an_error_that_names_the_address(run: StepRun, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match="not one row"):
        dialogues(DialogueData(source=str(tmp_path / "empty.jsonl")), run)


def test_a_step_that_leaves_no_row_is_named(run: StepRun, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "rows.jsonl", various(10))
    steps = {"length": part("length", min_characters=5000)}
    with pytest.raises(DataError, match=r"the step length left no row \(10 under 5,000"):
        dialogues(DialogueData(source=source, steps=steps), run)


def test_few_rows_are_told_and_none_to_train_on_is_an_error(run: StepRun, tmp_path: Path, told: Told) -> None:
    source = jsonl(tmp_path / "rows.jsonl", [("one?", "1")])
    mostly = Splits(Split(1e9), Split(1.0), Split(1.0))
    dialogues(DialogueData(source=source, splits=mostly), run)
    assert told.warnings == ["so few rows are left that validation and test got none"]
    with pytest.raises(DataError, match="no row is left to train on"):
        dialogues(DialogueData(source=source, splits=Splits(Split(1e-9), Split(0.0), Split(1.0))), run)


def test_a_folder_is_read_by_pattern_in_the_order_of_names(run: StepRun, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    for name, answer in {
        "b.jsonl": "second",
        "a.jsonl": "first",
        "deep/c.jsonl": "third",
        "skip.jsonl": "no",
    }.items():
        jsonl(folder / name, [(f"{name}?", answer)])
    (folder / "notes.txt").write_text("not rows")
    source = Source(address=f"file:{folder}", format="jsonl", exclude=("skip*",))
    everything = Splits(Split(1.0), Split(0.0), Split(0.0))
    found = dialogues(DialogueData(sources={"mine": source}, splits=everything), run)
    assert [row["messages"][1]["content"] for row in found.read("train")] == ["first", "second", "third"]
    other = Source(address=f"file:{folder}", include=("*.csv",))
    with pytest.raises(DataError, match=r"no file in it matches \*.csv.*a.jsonl"):
        dialogues(DialogueData(sources={"mine": other}), run)


@dataclass(frozen=True)
class FromElsewhere:
    """What a plugin that knows nothing of ours may give."""

    rows: Sequence[Row]
    note: str = "done elsewhere"


@pytest.mark.parametrize(
    ("give", "note"),
    [(lambda rows: rows[:3], "7 left out"), (lambda rows: FromElsewhere(rows[:3]), "done elsewhere")],
)
def test_a_step_of_another_plugin_may_give_rows_or_an_outcome_of_its_own(
    tmp_path: Path, give: Callable[[Sequence[Row]], Any], note: str
) -> None:
    source = jsonl(tmp_path / "rows.jsonl", various(10))
    made = step_run(tmp_path)
    run = StepRun(
        folder=made.folder,
        scratch=made.scratch,
        cache=made.cache,
        state=made.state,
        loader=loading(lambda part: lambda config, run, *, rows: give(rows)),
    )
    everything = Splits(Split(1.0), Split(0.0), Split(0.0))
    steps = {"theirs": Part("data/step", "theirs")}
    found = dialogues(DialogueData(source=source, steps=steps, splits=everything), run)
    assert found.rows["train"] == 3
    assert {"step": "theirs", "rows": 3, "note": note}.items() <= found.funnel[1].items()


def preset() -> DialogueData:
    """The bundled preset, built the short way."""
    values = yaml.safe_load(PRESET.read_text())
    steps = {name: dict(step) for name, step in values["steps"].items()}
    return DialogueData(
        sources={name: Source(**source) for name, source in values["sources"].items()},
        steps={name: part(step.pop("use", name), **step) for name, step in steps.items()},
    )


def test_the_real_corpus_loses_its_copies_and_shows_what_would_have_leaked(run: StepRun, told: Told) -> None:
    found = dialogues(preset(), run)
    rows = {entry["step"]: entry["rows"] for entry in found.funnel}
    assert (rows["read"], rows["exact"], rows["dedup"]) == (2212, 1085, 1071)
    assert sum(found.rows.values()) == 1063
    assert min(found.rows.values()) > 80
    leak = found.funnel[-1]["leaked"]
    assert leak["found"]["exact"] > 0.4 * leak["test"]
    assert [text for text in told.warnings if "corpus/trivia.yml:35" in text] == told.warnings
    examples = [json.loads(line) for line in (run.folder / "duplicates.jsonl").read_text().splitlines()]
    assert examples[0]["copies"] > 100 or any(one["copies"] > 100 for one in examples)
    assert {one["step"] for one in examples} == {"exact", "dedup", "questions"}


def test_in_the_real_corpus_no_question_is_in_two_splits(run: StepRun) -> None:
    found = dialogues(preset(), run)
    questions = {
        split: {
            "".join(filter(str.isalnum, row["messages"][0]["content"].casefold()))
            for row in found.read(split)
        }
        for split in found.rows
    }
    assert not questions["train"] & questions["test"]
    assert not questions["train"] & questions["validation"]
    assert not questions["validation"] & questions["test"]
