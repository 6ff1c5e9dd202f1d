from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_eval import weights

TOKENS = torch.tensor([[5, 9, 33, 7, 80]])


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("embed_tokens", "q_proj"), ("lm_head",)])
@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings", "ignore:.is_gradient_checkpointing")
def test_an_adapter_gives_the_logits_that_peft_gives(
    base: Model, adapted: Callable[..., Model], targets: tuple[str, ...]
) -> None:
    tuned = adapted("tuned", targets=targets)
    network = AutoModelForCausalLM.from_pretrained(base.folder)
    with torch.no_grad():
        before = network(input_ids=TOKENS).logits.clone()
        expected = PeftModel.from_pretrained(network, str(tuned.folder)).eval()(input_ids=TOKENS).logits
        held = weights.load(base, "float32")
        found = weights.load(tuned, "float32", held).module(input_ids=TOKENS).logits
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, before, atol=1e-2)


def test_an_adapter_over_an_adapter_adds_both(base: Model, adapted: Callable[..., Model]) -> None:
    first = adapted("first")
    second = adapted("second", over=first)
    with torch.no_grad():
        both, one, other = (
            weights.load(model, "float32").module.model.layers[0].self_attn.q_proj.weight
            for model in (second, first, replace(second, base=base))
        )
        plain = weights.load(base, "float32").module.model.layers[0].self_attn.q_proj.weight
    assert torch.allclose(both - plain, (one - plain) + (other - plain), atol=1e-5)


def test_a_base_after_its_adapter_is_loaded_afresh(base: Model, adapted: Callable[..., Model]) -> None:
    tuned = weights.load(adapted("tuned"), "float32")
    again, plain = weights.load(base, "float32", tuned).module, weights.load(base, "float32").module
    with torch.no_grad():
        assert torch.equal(again(input_ids=TOKENS).logits, plain(input_ids=TOKENS).logits)


def test_an_adapter_without_its_base_is_refused(adapted: Callable[..., Model]) -> None:
    with pytest.raises(StepError, match="lost is an adapter"):
        weights.load(replace(adapted("lost"), base=None), "float32")


@pytest.fixture
def with_code(base: Model, tmp_path: Path) -> Path:
    """The model's folder with code of its own beside the weights, which says that it was run."""
    folder = Path(shutil.copytree(base.folder, tmp_path / "with_code"))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    says = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**says, "model_type": "own_kind", "auto_map": own}))
    return folder


def test_code_that_lies_beside_weights_is_neither_run_nor_asked_about(
    base: Model, with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "y")
    with pytest.raises(ValueError, match="custom code"):
        weights.load(replace(base, folder=with_code), "float32")
    assert not (tmp_path / "ran").exists()
