"""The report of a dataset: its numbers are right, and the page says them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import UsageError
from llmops_core.manifest import new_run
from llmops_core.secrets import Secrets
from llmops_core.store import Store
from llmops_data.copies import copies
from llmops_data.drifting import drift, verdict
from llmops_data.exploring import rendered
from llmops_data.exploring_rows import marked
from llmops_data.lines import identities
from llmops_data.outliers import odd_characters, repeated
from llmops_data.profile import histogram, profile, spread
from llmops_data.tokens import IN_WORDS, measure
from llmops_data.versions import Version, version
from llmops_data.words import phrase, telling, words

tokenizers = pytest.importorskip("tokenizers")


def dataset(folder: Path, rows: Mapping[str, Sequence[Any]], shape: str = "qa", **facts: Any) -> Dataset:
    """A dataset of these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, found in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in found)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    counts = {split: len(found) for split, found in rows.items()}
    return Dataset(folder=folder, rows=counts, shape=shape, **facts)


def asked(question: str, answer: str, **facts: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "contexts": [], **({"facts": facts} if facts else {})}


def shown(made: Dataset, before: Dataset | None = None) -> tuple[str, dict[str, Any]]:
    """The page and its numbers, as the command makes them."""
    numbers = profile(made)
    earlier = (Version(before), profile(before, alike=False)) if before else None
    numbers["drift"] = drift(earlier[1], numbers) if earlier else None
    return rendered(Version(made), numbers, earlier), numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It's Ann's 2nd dog.", ["it's", "ann's", "2nd", "dog"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("天气很好。", ["天", "气", "很", "好"]),
        ("مرحبا بكم", ["مرحبا", "بكم"]),
        ("iPhone手机", ["iphone", "手", "机"]),
        ("... !?", []),
    ],
)
def test_words_are_found_in_any_script(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_runs_of_words_that_say_nothing_are_left_out_and_written_as_their_script_does() -> None:
    assert telling(("price", "of", "bread"))
    assert not telling(("of", "bread")) and not telling(("und",)) and not telling(("2026",))
    assert (phrase(("天", "气")), phrase(("good", "day"))) == ("天气", "good day")


def test_a_page_tells_what_the_numbers_say(tmp_path: Path) -> None:
    labels = ["spam"] * 30 + ["ham"] * 10
    rows = [
        asked(f"Where is item {n} kept?", f"On shelf {n}, {'up ' * n}there.", label=labels[n])
        for n in range(40)
    ]
    by = {"source": {"tickets": {"train": 30}, "chats": {"train": 10}}, "language": {"en": {"train": 40}}}
    personal = {"rows with personal data": 14, "email redacted": 12, "phone redacted": 3}
    found = {"step": "privacy", "rows": 40, "note": "", "counts": personal}
    funnel = (found, {"step": "split", "rows": 40, "note": "all", "by": by})
    page, numbers = shown(dataset(tmp_path, {"train": rows, "test": []}, funnel=funnel))
    assert numbers["labels"]["label"] == {"spam": {"train": 30}, "ham": {"train": 10}}
    assert numbers["sources"] == by["source"] and numbers["languages"] == {"en": 40}
    assert numbers["personal"] == {"privacy": personal}
    assert numbers["top_words"]["shelf"] == 40 and "is" not in numbers["top_words"]
    assert "30 (75 %)" in page.replace("\N{NO-BREAK SPACE}", " ")
    for told in (
        "tickets",
        "The step privacy found some in 14 rows",
        "email redacted",
        "shelf",
        "Where they come from",
        "Labels",
        "Personal data",
    ):
        assert told in page


def test_the_columns_hold_every_row(tmp_path: Path) -> None:
    rows = [asked("a " * n, "b") for n in range(1, 60)]
    numbers = profile(dataset(tmp_path, {"train": rows}))
    lengths = numbers["lengths"]
    assert sum(lengths["histogram"]["rows"]) == 59
    assert lengths["quantiles"]["all"]["50%"] == 31 and lengths["mean"] == 31
    assert len(lengths["histogram"]["rows"]) == len(lengths["histogram"]["bounds"]) + 1


@pytest.mark.parametrize("values", [[0], [7] * 9, [*range(100)], [3, 4, 5, 100_000], [1] * 500 + [9_000_000]])
def test_any_lengths_have_bounds_that_rise_and_reach_the_bulk(values: list[int]) -> None:
    bounds = spread(values)
    assert bounds == sorted(set(bounds)) and 1 <= len(bounds) <= 50
    assert sum(histogram(values, bounds)) == len(values)


def test_what_stands_out_is_shown_with_its_row(tmp_path: Path) -> None:
    rows = [asked(f"Question {n}?", f"An answer of its own, number {n}.") for n in range(30)]
    rows[4] = asked("Why?", "Because it is so and " * 20)
    rows[17] = asked("What?", "\ufffd\ufffd\x01☐☐")
    rows[22] = asked("How long?", " ".join(f"word{n}" for n in range(400)))
    page, numbers = shown(dataset(tmp_path, {"train": rows}))
    out = numbers["outliers"]
    assert out["longest"][0]["row"] == "train:23"
    assert [one["row"] for one in out["repetitive"]] == ["train:5"]
    assert [one["row"] for one in out["odd characters"]] == ["train:18"]
    assert "U+FFFD 2" in out["odd characters"][0]["told"]
    assert all(kind.capitalize() in page for kind in out)
    assert len(out["shortest"]) == 5


def test_oddness_and_repetition_spare_ordinary_texts() -> None:
    ordinary = "Grüße! Das kostet 5 €, सही है? 好的。\nNext line — done."
    assert not odd_characters(ordinary)
    assert repeated(" ".join(f"w{n}" for n in range(50))) == 0.0
    assert repeated("one two three " * 10) > 0.8


def test_copies_are_told_from_rows_that_only_ask_the_same(tmp_path: Path) -> None:
    rows = [asked("A?", "a"), asked("A?", "a", label="x"), asked("A?", "b"), asked("B?", "b")]
    found = copies(identities(dataset(tmp_path, {"train": rows, "test": [asked("B?", "b")]})))
    assert (found.again, found.same_prompt, found.across) == (2, 3, 1)


def test_rows_that_nearly_repeat_another_are_shown_beside_it(tmp_path: Path) -> None:
    text = "The printer on the second floor does not print since the update of last Monday, says the office"
    rows = [
        asked(f"{text}?", "Reset it."),
        asked(f"{text} here?", "Reset it."),
        asked("Other?", "Yes, quite."),
    ]
    page, numbers = shown(dataset(tmp_path, {"train": rows}))
    assert numbers["alike"]["rows"] == 1
    [pair] = numbers["alike"]["examples"]
    assert (pair["first"]["row"], pair["second"]["row"]) == ("train:1", "train:2")
    assert "<mark> here</mark>" in page


def test_only_what_differs_is_marked_and_nothing_is_markup() -> None:
    first, second = marked("Print <b>two</b> pages", "Print <b>three</b> pages")
    assert re.findall("<mark>(.*?)</mark>", first + second) == ["two", "three"]
    assert "<b>" not in first


def test_answers_of_pairs_are_compared_by_length(tmp_path: Path) -> None:
    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    rows = [{"prompt": [], "chosen": said("long " * n), "rejected": said("short")} for n in (1, 3, 9)]
    numbers = profile(dataset(tmp_path, {"train": rows}, "preference"))
    assert numbers["answers"] == {
        "longer": {"chosen": 2, "equal": 1},
        "median_characters": {"chosen": 15.0, "rejected": 5.0},
    }


def test_classes_among_answers_are_labels_and_free_texts_are_not(tmp_path: Path) -> None:
    rows = [asked(f"Is {n} even?", "yes" if n % 2 == 0 else "no") for n in range(20)]
    labels = profile(dataset(tmp_path, {"train": rows}))["labels"]
    assert labels == {"answer": {"no": {"train": 10}, "yes": {"train": 10}}}


def test_drift_of_sources_and_labels_has_its_word(tmp_path: Path) -> None:
    def made(name: str, share: float) -> Dataset:
        few = int(60 * share)
        rows = [asked(f"Where is {n}?", f"At {n}.", label="spam" if n < few else "ham") for n in range(60)]
        by = {"source": {"tickets": {"train": few}, "chats": {"train": 60 - few}}}
        return dataset(tmp_path / name, {"train": rows}, funnel=({"step": "split", "rows": 60, "by": by},))

    page, numbers = shown(made("new", 0.9), made("old", 0.2))
    assert numbers["drift"]["sources"] == numbers["drift"]["labels"] > 0.3
    assert verdict("labels", numbers["drift"]["labels"]) == "much"
    assert numbers["drift"]["words"] < 0.05 and verdict("words", 0.05) == "little"
    assert verdict("lengths", 0.2) == "some"
    assert page.count('class="chip failed"') == 2


def tokenizer(folder: Path) -> Path:
    """A tokenizer that takes every character for a token."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="?", vocab={"?": 0}, merges=[]))
    made.save(str(folder / "tokenizer.json"))
    return folder


def test_lengths_are_told_in_the_tokens_of_the_runs_model_or_of_the_one_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.prepare()
    temporary = store.temporary("test")
    made = store.publish(dataset(temporary / "files", {"train": [asked("abc", "de")]}), temporary)
    place = store.temporary("test")
    tokenizer(place / "files")
    model = store.publish(Model(folder=place / "files", name="tiny", parameters=1, context=8), place)
    records = [
        {"name": "data", "stage": "data", "output": made.digest},
        {"name": "model", "stage": "model", "output": model.digest},
    ]
    new_run(store, {"recipe": "r", "steps": records}, Secrets()).save()
    found = version(store, made.digest)
    counted = measure(store, found, None)
    assert (counted.unit, counted.lengths(["abc", "\ud800"])) == ("tokens", [3, 1])
    assert "tiny" in counted.by
    assert profile(found.dataset, counted)["lengths"]["quantiles"]["all"]["50%"] == 5
    assert "other" in measure(store, found, tokenizer(tmp_path / "other")).by
    assert measure(store, Version(found.dataset), None) is IN_WORDS
    with pytest.raises(UsageError, match=r"no tokenizer\.json"):
        measure(store, found, tmp_path)


def test_a_system_message_that_all_rows_share_makes_none_of_them_alike(tmp_path: Path) -> None:
    rule = {
        "role": "system",
        "content": "Answer with one letter, and explain nothing, whatever you are asked. " * 4,
    }
    names = [f"{one}{other}" for one in ("Ann", "Bob", "Kim", "Lee") for other in ("a", "berta", "co", "dor")]
    rows = [
        {
            "messages": [
                rule,
                {"role": "user", "content": f"Who is {name}?"},
                {"role": "assistant", "content": name},
            ]
        }
        for name in names
    ]
    assert profile(dataset(tmp_path, {"train": rows}, "messages"))["alike"]["rows"] == 0
