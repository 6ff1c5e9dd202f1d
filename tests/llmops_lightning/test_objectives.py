"""What each objective makes of a row, against what one would write by hand."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, T5Config, T5ForConditionalGeneration

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import DataError, StepError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning.config import Fsdp, Full, Lora, Pretrain, Seq2seq, Sft
from llmops_lightning.objective import Example, Tokens
from llmops_lightning.pretrain import PretrainObjective
from llmops_lightning.seq2seq import Seq2seqObjective
from llmops_lightning.sft import SftObjective
from llmops_lightning.sharded import Sharded, part_of
from llmops_lightning.train import train

MakeRun = Callable[..., StepRun]


def shown(example: Example, tokenizer: Any) -> tuple[str, str]:
    """What the model sees and what of it is learned, as text."""
    tokens = example.parts[-1]
    return tokenizer.decode(tokens.ids), tokenizer.decode([one for one in tokens.labels if one != -100])


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "add", "input": "1 2", "output": "3"},
        {"question": "1 2", "contexts": ["add"], "answer": "3"},
        {"messages": [{"role": "user", "content": "add\n\n1 2"}, {"role": "assistant", "content": "3"}]},
    ],
    ids=["instruction", "qa", "messages"],
)
def test_every_shape_is_asked_in_the_words_of_the_chat_template(row: dict[str, Any], tokenizer: Any) -> None:
    (example,) = SftObjective(tokenizer).encode(row, 100)
    asked = "<|start|>user\nadd\n\n1 2<|end|>\n<|start|>assistant\n3<|end|>\n"
    assert shown(example, tokenizer) == (asked, "3<|end|>")


def test_a_completion_is_learned_with_its_end_and_its_prompt_is_not(tokenizer: Any) -> None:
    (example,) = SftObjective(tokenizer).encode({"prompt": "Q: a\nA:", "completion": " b"}, 100)
    assert shown(example, tokenizer) == ("Q: a\nA: b<|end|>", " b<|end|>")


def test_a_completion_has_one_beginning_of_sequence(make_tokenizer: Callable[..., Any]) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = make_tokenizer()
    start = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A", special_tokens=[("<|start|>", start)]
    )
    for prompt in ("a", "<|start|>a"):
        (example,) = SftObjective(tokenizer).encode({"prompt": prompt, "completion": "b"}, 100)
        assert example.parts[0].ids.count(start) == 1
        assert shown(example, tokenizer) == ("<|start|>ab<|end|>", "b<|end|>")


def test_only_the_last_turn_is_learned_where_that_is_asked_for(tokenizer: Any) -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    learned = [
        shown(SftObjective(tokenizer, Sft(turns=which)).encode(row, 100)[0], tokenizer)[1]
        for which in ("all", "last")
    ]
    assert learned == ["b<|end|>d<|end|>", "d<|end|>"]


def test_a_row_of_no_known_shape_is_refused_with_the_keys_it_has(tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r'it has \["reply", "said"\]'):
        SftObjective(tokenizer).encode({"said": "a", "reply": "b"}, 100)


def test_a_long_text_is_split_so_that_every_token_is_learned_once(tokenizer: Any) -> None:
    text = "".join(chr(ord("a") + at % 26) for at in range(100))
    pieces = PretrainObjective(tokenizer).encode({"text": text}, 32)
    assert max(piece.length for piece in pieces) == 32
    assert "".join(shown(piece, tokenizer)[1] for piece in pieces) == text[1:] + "<|end|>"
    assert not any(piece.cut for piece in pieces)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 62, 63, 64])
def test_no_piece_is_left_over_or_lost(length: int, tokenizer: Any) -> None:
    pieces = PretrainObjective(tokenizer).encode({"text": "x" * length}, 32)
    assert sum(piece.weight for piece in pieces) == length
    assert all(piece.weight for piece in pieces)


def test_smoothing_changes_what_is_learned_and_not_what_is_validated(base: Model, tokenizer: Any) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder)
    batch = SftObjective(tokenizer).collate([[Example.of(Tokens((1, 2, 3, 4), (-100, 2, 3, 4)))]])
    plain, smooth = SftObjective(tokenizer), SftObjective(tokenizer, Sft(label_smoothing=0.1))
    network.train()
    scores = torch.log_softmax(network(input_ids=batch["ids"]).logits[0, :-1], -1)
    expected = plain.loss(network, batch) * 0.9 - 0.1 * scores.mean(-1).sum()
    assert torch.allclose(smooth.loss(network, batch), expected, rtol=1e-5)
    network.eval()
    assert torch.equal(smooth.loss(network, batch), plain.loss(network, batch))


@pytest.mark.parametrize(
    "objective", [SftObjective, PretrainObjective, lambda t: Seq2seqObjective(t, 0, Seq2seq())]
)
def test_an_objective_can_be_sent_to_another_process(objective: Callable[[Any], Any], tokenizer: Any) -> None:
    made = objective(tokenizer)
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - made a moment ago
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert again.encode(row, 50) == made.encode(row, 50)
    assert again.identity() == made.identity()


def test_pretraining_learns_from_texts(
    base: Model, make_run: MakeRun, make_data: Any, settings: Any, tmp_path: Path
) -> None:
    texts = [{"text": "the cat sat on the mat. " * (1 + at % 4)} for at in range(12)]
    made = make_data(tmp_path / "d", texts, texts[:2])
    data = Dataset(folder=made.folder, rows=made.rows, shape="text")
    config = settings(
        objective=Part("train/objective", "pretrain", Pretrain()),
        tuning=Full(),
        lr=1e-2,
        max_steps=None,
        epochs=4,
    )
    tuned = train(config, make_run(), model=base, data=data)
    losses = [
        row["validation_loss"]
        for row in map(json.loads, (tuned.folder / "training.jsonl").read_text().splitlines())
        if "validation_loss" in row
    ]
    assert losses[-1] < losses[0] - 0.3
    with pytest.raises(DataError, match=r"the shape text, and the objective sft takes messages, qa"):
        train(settings(), make_run("sft"), model=base, data=data)


@pytest.fixture(scope="module")
def encoding_model(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Model:
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=1,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    network = T5ForConditionalGeneration(config)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Model(folder=folder, name="t5", parameters=network.num_parameters(), context=128)


def test_a_model_with_an_encoder_has_the_loss_transformers_gives_it(
    encoding_model: Model, tokenizer: Any
) -> None:
    network = T5ForConditionalGeneration.from_pretrained(encoding_model.folder).eval()
    objective = Seq2seqObjective(tokenizer, tokenizer.eos_token_id, Seq2seq())
    rows = [{"prompt": "abc", "completion": "de"}, {"prompt": "f", "completion": "ghijk"}]
    examples = [objective.encode(row, 50)[0] for row in rows]
    batch = objective.collate([[example] for example in examples])
    mean = network(input_ids=batch["ids"], attention_mask=batch["mask"], labels=batch["labels"]).loss
    weight = sum(example.weight for example in examples)
    assert weight == 3 + 6
    assert torch.allclose(objective.loss(network, batch) / weight, mean, rtol=1e-5)


def test_a_model_with_an_encoder_is_tuned_by_its_own_objective_only(
    encoding_model: Model, data: Dataset, make_run: MakeRun, settings: Any
) -> None:
    config = settings(
        objective=Part("train/objective", "seq2seq", Seq2seq()), tuning=Lora(r=4, targets=("q", "v")), lr=0.05
    )
    tuned = train(config, make_run(), model=encoding_model, data=data)
    assert json.loads((tuned.folder / "adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"
    with pytest.raises(StepError, match="Choose the objective seq2seq"):
        train(settings(), make_run("sft"), model=encoding_model, data=data)


def test_a_model_with_an_encoder_learns_the_same_when_processes_share_its_weights(
    encoding_model: Model,
    data: Dataset,
    make_run: MakeRun,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[float] = []
    step = Sharded.step

    def note(spread: Sharded, lr: float, clip: float | None) -> float:
        learning = list(spread.learner.parameters())
        held.append(sum(part_of(one).numel() for one in learning) / sum(one.numel() for one in learning))
        return step(spread, lr, clip)

    monkeypatch.setattr(Sharded, "step", note)
    objective = Part("train/objective", "seq2seq", Seq2seq())
    plain = settings(objective=objective, tuning=Full(), max_steps=3)
    shared = replace(plain, strategy=Part("train/strategy", "fsdp", Fsdp(accelerator="cpu")))
    curves = []
    for name, config in (("plain", plain), ("shared", shared)):
        tuned = train(config, make_run(name), model=encoding_model, data=data)
        curves.append(list(map(json.loads, (tuned.folder / "training.jsonl").read_text().splitlines())))
    assert len(held) == 3 and all(share < 0.55 for share in held), "one of two processes holds half of it"
    for one, other in zip(*curves, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_a_model_without_an_encoder_is_not_tuned_as_one_with(
    base: Model, data: Dataset, make_run: MakeRun, settings: Any
) -> None:
    config = settings(objective=Part("train/objective", "seq2seq", Seq2seq()))
    with pytest.raises(StepError, match="needs a model with an encoder"):
        train(config, make_run(), model=base, data=data)
