"""What is seen before a training, and what is said when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.config import Full, LightningTrain
from llmops_lightning.memory import Need
from llmops_lightning.plan import Plan
from llmops_lightning.replicated import Replicated
from llmops_lightning.show_batch import show_batch
from llmops_lightning.train import train

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]


def test_a_batch_is_shown_with_what_is_learned_marked(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    shown = show_batch(settings(), make_run("shown"), model=base, data=data, count=2).examples
    tuned = train(settings(), make_run("trained"), model=base, data=data)
    first = next(iter(Plan(tuned.folder).steps()))
    assert [one.row for one in shown] == [at + 1 for at in first.batches[0][0] + first.batches[0][1]]
    rows = list(data.read("train"))
    for one in shown:
        question, answer = (message["content"] for message in rows[one.row - 1]["messages"])
        assert one.pieces == (
            (f"<|start|>user\n{question}<|end|>\n<|start|>assistant\n", False),
            (f"{answer}<|end|>", True),
            ("\n", False),
        )
        assert one.learned == len(answer) + 1
    text = shown[0].text()
    assert f"⟦{shown[0].pieces[1][0]}⟧" in text.plain
    assert {span.style for span in text.spans} == {"bold", "dim", "green"}


def test_more_than_the_model_can_see_is_refused(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    with pytest.raises(
        StepError, match=r"max_length is 257, and tiny sees 256 tokens at most.*max_length=256"
    ):
        train(settings(max_length=257), make_run(), model=base, data=data)
    train(settings(max_length=256, max_steps=1), make_run("fits"), model=base, data=data)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    ],
)
def test_out_of_memory_tells_estimate_actual_and_three_changes_that_need_less(
    base: Model,
    data: Dataset,
    make_run: MakeRun,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: Any) -> float:
        raise error

    monkeypatch.setattr(Replicated, "gradients", fail)
    with pytest.raises(StepError, match=r"out of memory: estimated 1 GB .* GB were in use at most") as raised:
        train(settings(), make_run(), model=base, data=data)
    assert raised.value.problem.remedy.count(" GB)") == 3


def test_another_runtime_error_stays_what_it_is(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> float:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Replicated, "gradients", fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(settings(), make_run(), model=base, data=data)


def test_every_change_that_is_offered_needs_less(settings: Settings, base: Model) -> None:
    big = Model(folder=base.folder, name="big", parameters=10**9, context=4096)
    need = Need(settings(tuning=Full(), batch_size=8), big, {"rows": 8, "tokens": 1024})
    assert len(need.smaller()) == 3
    assert all(size < need.bytes() for size in need.smaller().values())
