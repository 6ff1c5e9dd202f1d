"""Training as a step: what it writes, that it repeats itself, and that it goes on where it stopped."""

from __future__ import annotations

import json
import math
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmops_core import events
from llmops_core.artifacts import Dataset, Model
from llmops_core.errors import DataError, StepError
from llmops_core.step import StepRun
from llmops_lightning import identity
from llmops_lightning.config import Full, LightningTrain, Lora
from llmops_lightning.train import train

MakeRun = Callable[..., StepRun]
Settings = Callable[..., LightningTrain]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def curve(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


class StopError(Exception):
    pass


def stopping(at: int, error: BaseException) -> Callable[[events.Event], None]:
    def tell(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done == at:
            raise error

    return tell


def test_two_trainings_give_the_same_bytes_whatever_their_threads(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    one = train(settings(threads=1), make_run("one"), model=base, data=data)
    two = train(settings(threads=2, checkpoint_every=1), make_run("two"), model=base, data=data)
    assert contents(one.folder) == contents(two.folder)


def test_another_seed_gives_another_adapter(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    one = train(settings(), make_run("one"), model=base, data=data)
    two = train(settings(), make_run("two", seed=4), model=base, data=data)
    weights = "adapter_model.safetensors"
    assert (one.folder / weights).read_bytes() != (two.folder / weights).read_bytes()


@pytest.mark.parametrize(
    "tuning", [Lora(r=4), Lora(r=4, dropout=0.3), Full()], ids=["lora", "dropout", "full"]
)
def test_an_interrupted_training_ends_as_an_undisturbed_one(
    base: Model, data: Dataset, make_run: MakeRun, tuning: Lora | Full, settings: Settings
) -> None:
    config = settings(tuning=tuning, checkpoint_every=2, validate_every=2)
    undisturbed = train(config, make_run("undisturbed"), model=base, data=data)
    with pytest.raises(StopError):
        train(config, make_run("stopped", tell=stopping(5, StopError())), model=base, data=data)
    steps: list[float] = []

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            steps.append(event.done)

    scratch = make_run("unused").scratch.parent / "stopped-scratch"
    resumed = train(config, make_run("resumed", scratch=scratch, tell=tell), model=base, data=data)
    assert min(steps) == 4
    assert contents(resumed.folder) == contents(undisturbed.folder)


def test_a_checkpoint_of_another_training_is_not_gone_on_from(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    config = settings(checkpoint_every=2)
    with pytest.raises(StopError):
        train(config, make_run("stopped", tell=stopping(5, StopError())), model=base, data=data)
    scratch = make_run("unused").scratch.parent / "stopped-scratch"
    left = contents(scratch)
    with pytest.raises(StepError, match="was made with another plan"):
        train(config, make_run("other", scratch=scratch, seed=9), model=base, data=data)
    another = replace(base, name="another")
    with pytest.raises(StepError, match="was made with another model"):
        train(config, make_run("another", scratch=scratch), model=another, data=data)
    assert {name for name in left if name.endswith(".ckpt")} <= set(contents(scratch))


def test_a_checkpoint_of_another_library_means_starting_over_with_a_word(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(checkpoint_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "version", lambda library: "0.1")
        with pytest.raises(StopError):
            train(config, make_run("before", tell=stopping(5, StopError())), model=base, data=data)
    scratch = make_run("unused").scratch.parent / "before-scratch"
    told: list[str] = []
    run = make_run("after", scratch=scratch, tell=lambda event: told.append(getattr(event, "text", "")))
    one = train(config, run, model=base, data=data)
    assert any("made with transformers 0.1, peft 0.1: starting over" in text for text in told)
    assert contents(one.folder) == contents(train(config, make_run("fresh"), model=base, data=data).folder)


def test_a_torn_checkpoint_means_going_on_from_the_one_before(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    config = settings(checkpoint_every=2)
    with pytest.raises(StopError):
        train(config, make_run("torn", tell=stopping(5, StopError())), model=base, data=data)
    scratch = make_run("unused").scratch.parent / "torn-scratch"
    (scratch / "step-00000004.ckpt").write_bytes(b"PK\x03\x04 torn")
    told: list[str] = []
    run = make_run("resumed", scratch=scratch, tell=lambda event: told.append(getattr(event, "text", "")))
    one = train(config, run, model=base, data=data)
    assert "going on after optimizer step 2 of 6" in told
    assert contents(one.folder) == contents(train(config, make_run("fresh"), model=base, data=data).folder)


def test_the_curve_has_a_row_for_each_step_and_validation(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuned = train(settings(lr=0.02, max_steps=None, epochs=3), make_run(), model=base, data=data)
    rows = curve(tuned.folder)
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 19))
    assert set(steps[0]) == {"step", "loss", "lr", "tokens", "loss_tokens"}
    validated = [row for row in rows if "validation_loss" in row]
    assert [row["step"] for row in validated] == [0, 18]
    assert validated[1]["validation_loss"] < validated[0]["validation_loss"] - 0.1


def test_the_adapter_reloads_to_the_same_scores_and_holds_no_path(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    from peft import PeftModel

    tuned = train(settings(lr=0.02), make_run(), model=base, data=data)
    assert tuned.base == base
    for name, content in contents(tuned.folder).items():
        assert str(base.folder).encode() not in content, name
        assert str(tuned.folder).encode() not in content, name
    assert set(contents(tuned.folder)) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "plan.json",
        "plan.jsonl",
        "training.jsonl",
    }
    before = AutoModelForCausalLM.from_pretrained(base.folder)
    ids = torch.arange(1, 30).unsqueeze(0)
    plain = before(input_ids=ids).logits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        adapted = PeftModel.from_pretrained(before, str(tuned.folder))
    answered = adapted(input_ids=ids).logits
    assert not torch.allclose(plain, answered, atol=1e-2)
    merged = adapted.merge_and_unload()(input_ids=ids).logits
    assert torch.allclose(merged, answered, atol=1e-4)


def test_a_loss_that_is_no_number_stops_and_names_its_step(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    with pytest.raises(StepError, match=r"the loss is (nan|inf) at optimizer step [2-6]\b"):
        train(settings(lr=1e38, gradient_clip=None, warmup_steps=0), make_run(), model=base, data=data)


def test_a_validation_loss_that_is_no_number_stops_too(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    config = settings(lr=1e38, gradient_clip=None, warmup_steps=0, max_steps=1)
    with pytest.raises(StepError, match=r"the validation loss is (nan|inf) after optimizer step 1\b"):
        train(config, make_run(), model=base, data=data)


def test_ctrl_c_stays_a_keyboard_interrupt_and_the_next_one_works(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(settings(), make_run(tell=stopping(2, KeyboardInterrupt())), model=base, data=data)
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_is_printed_and_nothing_is_left_beside_the_output(
    base: Model,
    data: Dataset,
    make_run: MakeRun,
    capfd: Any,
    monkeypatch: Any,
    tmp_path: Path,
    settings: Settings,
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)
    train(settings(), make_run(), model=base, data=data)
    assert capfd.readouterr() == ("", "")
    assert list(place.iterdir()) == []


def test_data_without_an_answer_to_learn_is_refused(
    base: Model, make_run: MakeRun, tmp_path: Path, settings: Settings, make_data: Any
) -> None:
    rows = [{"messages": [{"role": "user", "content": "hello"}]}] * 3
    with pytest.raises(DataError, match="nothing to learn"):
        train(settings(), make_run(), model=base, data=make_data(tmp_path / "d", rows, []))


def test_rows_whose_answer_is_cut_away_are_counted(
    base: Model, make_run: MakeRun, tmp_path: Path, settings: Settings, dialogue: Any, make_data: Any
) -> None:
    told: list[str] = []
    rows = [dialogue("short", "yes"), dialogue("long " * 40, "no")]
    run = make_run(tell=lambda event: told.append(getattr(event, "text", "")))
    train(settings(max_length=60), run, model=base, data=make_data(tmp_path / "d", rows, []))
    assert "1 of 2 rows were cut at 60 tokens" in told
    assert any("1 of 2 rows have nothing to learn" in line for line in told)


def test_max_rows_takes_a_seeded_sample(
    base: Model, data: Dataset, make_run: MakeRun, settings: Settings
) -> None:
    tuned = train(settings(max_rows=8, max_steps=None), make_run(), model=base, data=data)
    steps = [row for row in curve(tuned.folder) if "loss" in row]
    assert len(steps) == 2
    assert all(math.isfinite(row["loss"]) for row in steps)
