"""Loading: adapters are added into the weights only where nothing that matters changes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from llmops_core.artifacts import Release
from llmops_serve import weights
from llmops_serve.config import OpenaiServerDeploy
from llmops_serve.server_settings import ServerSettings, settings_for
from llmops_serve.weights import load

# peft 0.21 asks transformers 5.23 by an older name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def adapter(model_folder: Path, folder: Path, targets: list[str]) -> Path:
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    with_adapter = get_peft_model(model, LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    with_adapter.save_pretrained(folder)
    return folder


def chances(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return torch.log_softmax(model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits, -1)


@pytest.fixture
def tuned(settings: ServerSettings, model_folder: Path, tmp_path: Path) -> ServerSettings:
    return dataclasses.replace(
        settings, adapter=str(adapter(model_folder, tmp_path / "a", ["q_proj", "v_proj"]))
    )


def test_an_adapter_is_added_into_the_weights_and_changes_no_answer(tuned: ServerSettings) -> None:
    told: list[str] = []
    merged = load(tuned, told.append).model
    beside = load(dataclasses.replace(tuned, merge_adapter=False), told.append).model
    base = load(dataclasses.replace(tuned, adapter=None), told.append).model
    assert not isinstance(merged, PeftModel) and isinstance(beside, PeftModel)
    assert torch.allclose(chances(merged), chances(beside), atol=1e-4)
    assert not torch.allclose(chances(merged), chances(base), atol=1e-2)
    assert "was added into the weights" in told[0]


def test_an_adapter_stays_beside_the_weights_when_adding_it_would_show(
    tuned: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    beside = load(dataclasses.replace(tuned, merge_adapter=False), told.append).model
    monkeypatch.setattr(weights, "MERGE_TOLERANCE", -1.0)
    kept = load(tuned, told.append).model
    assert isinstance(kept, PeftModel) and "it stays beside them" in told[-1]
    assert torch.equal(chances(kept), chances(beside))


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`:UserWarning")
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")
def test_an_adapter_of_a_matrix_that_the_model_uses_twice_is_never_merged(
    settings: ServerSettings, model_folder: Path, tmp_path: Path
) -> None:
    config = AutoConfig.from_pretrained(model_folder)
    config.tie_word_embeddings = True
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "tied")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "tied" / name).write_bytes((model_folder / name).read_bytes())
    folder = adapter(tmp_path / "tied", tmp_path / "adapter", ["q_proj", "embed_tokens"])
    found = load(
        dataclasses.replace(settings, weights=str(tmp_path / "tied"), adapter=str(folder)), lambda line: None
    )
    assert isinstance(found.model, PeftModel)


def test_threads_grow_only_while_that_pays_and_leave_a_core(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {1: 10.0, 2: 18.0, 4: 20.0, 8: 90.0}
    for cores, expected in [(1, 1), (2, 1), (3, 2), (4, 2), (16, 2)]:
        monkeypatch.setattr(
            "os.sched_getaffinity", lambda process, cores=cores: set(range(cores)), raising=False
        )
        monkeypatch.setattr(weights, "_tokens_a_second", lambda model, threads: speeds[threads])
        before = torch.get_num_threads()
        try:
            load(dataclasses.replace(settings, threads=None, device="cpu"), lambda line: None)
            assert torch.get_num_threads() == expected
        finally:
            torch.set_num_threads(before)


@pytest.fixture
def with_code(model_folder: Path, tmp_path: Path) -> Path:
    """The model's folder with code of its own beside the weights, which says that it was run."""
    folder = Path(shutil.copytree(model_folder, tmp_path / "with_code"))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    says = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**says, "model_type": "own_kind", "auto_map": own}))
    return folder


def test_code_that_lies_beside_weights_is_neither_run_nor_asked_about(
    settings: ServerSettings, with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "y")
    with pytest.raises(ValueError, match="custom code"):
        load(dataclasses.replace(settings, weights=str(with_code)), print)
    assert not (tmp_path / "ran").exists()


def test_an_adapter_over_an_adapter_is_served_with_both(
    release: Release, model_folder: Path, tmp_path: Path
) -> None:
    base = release.candidate
    first = adapter(model_folder, tmp_path / "first", ["q_proj"])
    one = dataclasses.replace(base, folder=first, base=base)
    two = dataclasses.replace(base, folder=adapter(model_folder, tmp_path / "two", ["v_proj"]), base=one)
    settings = settings_for(OpenaiServerDeploy(threads=1), dataclasses.replace(release, candidate=two))
    settings_file = tmp_path / "server.json"
    settings.write(settings_file)
    found = load(ServerSettings.read(settings_file), print).model
    with_first = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_folder), str(first))
    both = PeftModel.from_pretrained(with_first.merge_and_unload(), str(two.folder)).eval()
    assert torch.allclose(chances(found), chances(both), atol=1e-4)
    last_alone = load(dataclasses.replace(settings, below=()), print).model
    assert not torch.allclose(chances(found), chances(last_alone), atol=1e-2)
