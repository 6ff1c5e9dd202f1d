"""What a training must get right, seen from outside: gradients, masks, packs, resumption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_lightning import causal
from llmops_lightning.config import Full, LightningTrain, Lora, Pretrain
from llmops_lightning.network_modes import draws_random_numbers
from llmops_lightning.objective import Example, Tokens
from llmops_lightning.plan import Plan
from llmops_lightning.replicated import Replicated
from llmops_lightning.sft import SftObjective
from llmops_lightning.train import train

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]
Gradients = list[dict[str, torch.Tensor]]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> Gradients:
    """The gradients of every optimizer step of whatever is trained."""
    found: Gradients = []
    clip = Replicated.clip

    def note(spread: Replicated, most: float | None) -> float:
        learning = spread.learner.learning()
        found.append({name: one.grad.clone() for name, one in learning.items() if one.grad is not None})
        return clip(spread, most)

    monkeypatch.setattr(Replicated, "clip", note)
    return found


@pytest.fixture
def uneven(make_data: Callable[..., Dataset], dialogue: Callable[..., Any], tmp_path: Path) -> Dataset:
    """22 rows: steps of eight leave a window of six, and answers of one to four words."""
    rows = [dialogue(f"ask {n}", "word " * (1 + n % 4)) for n in range(22)]
    return make_data(tmp_path / "uneven", rows, [])


def expect_same(one: Gradients, other: Gradients, tolerance: float = 1e-5) -> None:
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        assert max(float(gradient.abs().max()) for gradient in left.values()) > 1e-3
        for name in left:
            assert torch.allclose(left[name], right[name], atol=tolerance), name


STILL = {"lr": 1e-12, "max_steps": None, "gradient_clip": None}


def test_accumulation_changes_no_gradient_of_any_step_the_partial_last_one_included(
    base: Model, uneven: Dataset, make_run: MakeRun, settings: Settings, gradients: Gradients
) -> None:
    made: list[Gradients] = []
    for accumulate in (1, 2, 4):
        gradients.clear()
        config = settings(tuning=Full(), batch_size=8 // accumulate, accumulate=accumulate, **STILL)
        train(config, make_run(f"by{accumulate}"), model=base, data=uneven)
        made.append(list(gradients))
    assert len(made[0]) == 3
    expect_same(made[0], made[1])
    expect_same(made[0], made[2])


def test_micro_batches_one_after_another_have_the_gradients_of_those_at_once(
    base: Model,
    uneven: Dataset,
    make_run: MakeRun,
    settings: Settings,
    gradients: Gradients,
    monkeypatch: Any,
) -> None:
    config = settings(tuning=Full(), batch_size=2, accumulate=4, **STILL)
    train(config, make_run("at-once"), model=base, data=uneven)
    at_once = list(gradients)
    gradients.clear()
    monkeypatch.setattr("llmops_lightning.replicated.draws_random_numbers", lambda network: True)
    train(config, make_run("in-turn"), model=base, data=uneven)
    expect_same(at_once, gradients, 1e-6)


@pytest.mark.parametrize(
    "tuning", [Full(), Lora(r=4), Lora(r=4, dropout=0.3)], ids=["full", "lora", "dropout"]
)
def test_computing_activations_again_changes_no_gradient(
    base: Model, uneven: Dataset, make_run: MakeRun, settings: Settings, gradients: Gradients, tuning: Any
) -> None:
    train(settings(tuning=tuning, **STILL), make_run("kept"), model=base, data=uneven)
    kept = list(gradients)
    gradients.clear()
    train(settings(tuning=tuning, recompute=True, **STILL), make_run("again"), model=base, data=uneven)
    expect_same_where_there_are_any(kept, gradients)


def expect_same_where_there_are_any(one: Gradients, other: Gradients) -> None:
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        assert any(bool(gradient.any()) for gradient in left.values())
        for name in left:
            assert torch.allclose(left[name], right[name], atol=1e-6), name


def test_computing_activations_again_keeps_fewer_of_them(base: Model, tokenizer: Any) -> None:
    from llmops_lightning.network_modes import recompute

    def kept(again: bool) -> int:
        network = AutoModelForCausalLM.from_pretrained(base.folder).train()
        if again:
            recompute(network, random=False)
        total = 0

        def note(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            network(input_ids=torch.ones(2, 60, dtype=torch.long), use_cache=False)
        return total

    assert kept(True) < 0.6 * kept(False)


def tokens(length: int, seed: int) -> Example:
    ids = tuple(torch.randint(1, 200, (length,), generator=torch.Generator().manual_seed(seed)).tolist())
    return Example.of(Tokens(ids, (-100, *ids[1:])))


@torch.no_grad()
def logits(network: nn.Module, batch: Any) -> torch.Tensor:
    found: Any = network(input_ids=batch["ids"], position_ids=batch.get("positions"), use_cache=False)
    scores: torch.Tensor = found.logits
    return scores


def test_packed_logits_are_those_of_each_example_alone(base: Model) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    examples = [tokens(9, 0), tokens(1, 1), tokens(14, 2), tokens(5, 3)]
    packed = logits(network, causal.collate([examples[:3], examples[3:]], padding=0))
    start = 0
    for example in examples[:3]:
        alone = logits(network, causal.collate([[example]], padding=0))
        assert torch.allclose(packed[0, start : start + example.length], alone[0], atol=1e-5)
        start += example.length
    alone = logits(network, causal.collate([examples[3:]], padding=0))
    assert torch.allclose(packed[1, :5], alone[0], atol=1e-5)


def test_changing_one_example_of_a_pack_moves_no_other(base: Model) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    examples = [tokens(9, 0), tokens(7, 1), tokens(6, 2)]
    before = logits(network, causal.collate([examples], padding=0))
    examples[1] = tokens(7, 99)
    after = logits(network, causal.collate([examples], padding=0))
    assert torch.equal(before[0, :9], after[0, :9])
    assert torch.equal(before[0, 16:], after[0, 16:])
    assert not torch.allclose(before[0, 9:16], after[0, 9:16], atol=1e-2)


def test_packs_have_the_loss_of_their_examples(base: Model, tokenizer: Any) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    examples = [tokens(9, 0), tokens(7, 1), tokens(16, 2), tokens(3, 3)]
    for waits in (False, True):
        objective = SftObjective(tokenizer, head_waits=waits)
        packed = objective.loss(network, objective.collate([examples[:2], examples[2:]]))
        padded = objective.loss(network, objective.collate([[example] for example in examples]))
        assert torch.allclose(packed, padded, rtol=1e-5)


def test_training_on_packs_uses_fewer_rows_and_every_example(
    base: Model, uneven: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    config = settings(batching="packs", pack_length=200, max_length=100, max_steps=None)
    tuned = train(config, make_run(), model=base, data=uneven)
    steps = list(Plan(tuned.folder).steps())
    rows = [row for step in steps for batch in step.batches for row in batch]
    assert sorted(at for row in rows for at in row) == list(range(22))
    assert max(map(len, rows)) > 2
    assert Plan(tuned.folder).summary["worst_batch"]["tokens"] <= 200
    curve = [json.loads(line) for line in (tuned.folder / "training.jsonl").read_text().splitlines()]
    assert [row["loss_tokens"] for row in curve] == [step.loss_tokens for step in steps]


def test_a_model_that_looks_across_a_pack_is_refused(
    base: Model, uneven: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried and not believed: not every model looks at positions."""
    from transformers import LlamaModel

    forward = LlamaModel.forward

    def blind(self: Any, **inputs: Any) -> Any:
        return forward(self, **{name: value for name, value in inputs.items() if name != "position_ids"})

    monkeypatch.setattr(LlamaModel, "forward", blind)
    with pytest.raises(StepError, match="would see each other"):
        train(settings(batching="packs", max_steps=1), make_run(), model=base, data=uneven)


def test_padding_is_on_the_right_and_changes_nothing_that_counts(base: Model, tokenizer: Any) -> None:
    network = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    examples = [tokens(4, 0), tokens(12, 1)]
    batch = causal.collate([[example] for example in examples], padding=7)
    assert batch["ids"][0].tolist() == [*examples[0].parts[0].ids, *[7] * 8]
    assert batch["labels"][0, 4:].tolist() == [-100] * 8
    alone = logits(network, causal.collate([examples[:1]], padding=7))
    assert torch.allclose(logits(network, batch)[0, :4], alone[0], atol=1e-5)


def test_the_end_is_learned_though_padding_is_the_same_token(tokenizer: Any) -> None:
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    objective = SftObjective(tokenizer)
    dialogue = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    rows = [{"messages": dialogue}, {"messages": [*dialogue, *dialogue]}]
    batch = objective.collate([objective.encode(row, 200) for row in rows])
    ends = (batch["labels"] == tokenizer.eos_token_id).sum(dim=1)
    assert ends.tolist() == [1, 2]


class StopError(Exception):
    pass


@pytest.mark.parametrize("batching", ["buckets", "packs"])
def test_interrupted_twice_in_a_later_epoch_it_ends_bitwise_equal_and_has_seen_the_same(
    base: Model, uneven: Dataset, make_run: MakeRun, settings: Settings, batching: str
) -> None:
    objective = Part("train/objective", "pretrain", Pretrain())
    config = settings(
        tuning=Full(),
        objective=objective,
        batching=batching,
        pack_length=100,
        max_length=60,
        max_steps=None,
        epochs=3,
        checkpoint_every=3,
        validate_every=4,
        lr=1e-2,
    )
    undisturbed = train(config, make_run("undisturbed"), model=base, data=uneven)
    total = len(Plan(undisturbed.folder))
    scratch, seen = make_run("unused").scratch, []
    per_epoch = total // 3
    for number, stop in enumerate((per_epoch + 2, 2 * per_epoch + 1, None)):

        def tell(event: events.Event, stop: int | None = stop) -> None:
            if isinstance(event, events.Metric) and event.name == "loss":
                seen.append(event.at)
            if isinstance(event, events.Progress) and event.done == stop:
                raise StopError

        run = make_run(f"try{number}", scratch=scratch, tell=tell)
        if stop is None:
            resumed = train(config, run, model=base, data=uneven)
        else:
            with pytest.raises(StopError):
                train(config, run, model=base, data=uneven)
    assert seen[-1] == total
    assert len(seen) < 2 * total  # it did not begin again
    assert contents(resumed.folder) == contents(undisturbed.folder)


def test_a_model_that_drops_by_itself_draws_random_numbers(base: Model) -> None:
    small = {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    assert draws_random_numbers(GPT2LMHeadModel(GPT2Config(**small)))
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "summary_first_dropout": 0.0}
    assert not draws_random_numbers(GPT2LMHeadModel(GPT2Config(**small, **still)))
    assert not draws_random_numbers(AutoModelForCausalLM.from_pretrained(base.folder))
