"""Opening weights: folders by reference, GGUF converted, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from llmops_core import events
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_hf.config import HfModel
from llmops_hf.estimate import estimate
from llmops_hf.open_weights import open_weights
from llmops_hf.plugin import llmops_check, llmops_implementations

MakeRun = Callable[..., StepRun]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def copied(folder: Path, place: Path, *without: str) -> Path:
    shutil.copytree(folder, place)
    for name in without:
        (place / name).unlink()
    return place


def test_a_folder_of_safetensors_is_used_where_it_lies(
    folder: Path, network: LlamaForCausalLM, make_run: MakeRun
) -> None:
    run = make_run()
    model = open_weights(HfModel(path=str(folder)), run)
    assert model.folder == folder
    assert list(run.folder.iterdir()) == []
    assert model.parameters == network.num_parameters()
    assert model.context == 128


def test_a_folders_name_comes_from_its_content_not_from_its_place(
    folder: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    elsewhere = copied(folder, tmp_path / "elsewhere")
    one = open_weights(HfModel(path=str(folder)), make_run("one"))
    two = open_weights(HfModel(path=str(elsewhere)), make_run("two"))
    assert one.name == two.name
    assert open_weights(HfModel(path=str(folder), name="mine"), make_run("three")).name == "mine"


def test_what_an_address_brings_is_used_where_it_lies(
    folder: Path, make_run: MakeRun, monkeypatch: Any
) -> None:
    asked: list[Any] = []

    def fetch(run: StepRun, address: str, sha256: str = "", *, token: str = "") -> Path:
        asked.append((address, sha256, token))
        return folder

    monkeypatch.setattr(StepRun, "fetch", fetch)
    config = HfModel(address="hf://org/tiny-llama@0123abc", sha256="ab" * 32, token="${secret:HUB}")
    model = open_weights(config, make_run())
    assert asked == [("hf://org/tiny-llama@0123abc", "ab" * 32, "${secret:HUB}")]
    assert (model.name, model.folder) == ("tiny-llama", folder)


def test_gguf_becomes_safetensors_that_score_the_same(
    network: LlamaForCausalLM, write_gguf: Callable[..., Path], tmp_path: Path, make_run: MakeRun
) -> None:
    write_gguf(tmp_path / "Tiny-Llama.Q4_1.gguf")
    model = open_weights(HfModel(path=str(tmp_path)), make_run())
    converted = AutoModelForCausalLM.from_pretrained(model.folder)
    ids = torch.arange(3, 40).unsqueeze(0)
    assert torch.allclose(converted(input_ids=ids).logits, network(input_ids=ids).logits, atol=1e-5)
    assert (model.name, model.parameters, model.context) == ("Tiny-Llama", network.num_parameters(), 128)


def test_gguf_keeps_tied_weights_once_and_the_tokenizer_whole(
    folder: Path, write_gguf: Callable[..., Path], tmp_path: Path, make_run: MakeRun
) -> None:
    model = open_weights(HfModel(path=str(write_gguf(tmp_path / "tiny.gguf"))), make_run())
    with safe_open(model.folder / "model.safetensors", "numpy") as weights:
        assert "lm_head.weight" not in weights.keys()  # noqa: SIM118
    config = json.loads((model.folder / "config.json").read_text())
    assert config["tie_word_embeddings"] and config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    generation = json.loads((model.folder / "generation_config.json").read_text())
    assert (generation["bos_token_id"], generation["eos_token_id"]) == (1, 2)
    before, after = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(model.folder)
    messages = [{"role": "user", "content": "the other thé"}]
    text = before.apply_chat_template(messages, tokenize=False)
    assert after.apply_chat_template(messages, tokenize=False) == text
    ids = before(text, add_special_tokens=False)["input_ids"]
    assert after(text, add_special_tokens=False)["input_ids"] == ids
    assert (after.bos_token, after.eos_token) == ("<|start|>", "<|end|>")


def test_gguf_converts_to_the_same_bytes_whatever_it_is_called_and_says_nothing(
    write_gguf: Callable[..., Path], tmp_path: Path, make_run: MakeRun, capfd: Any
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = write_gguf(tmp_path / "a" / "tiny.gguf")
    second = Path(shutil.copy(first, tmp_path / "b" / "renamed.gguf"))
    one = open_weights(HfModel(path=str(first)), make_run("one"))
    two = open_weights(HfModel(path=str(second)), make_run("two"))
    assert contents(one.folder) == contents(two.folder)
    assert one.name == two.name
    assert all(str(tmp_path).encode() not in content for content in contents(one.folder).values())
    assert capfd.readouterr() == ("", "")


def test_gguf_that_lacks_a_weight_is_refused(
    write_gguf: Callable[..., Path], tmp_path: Path, make_run: MakeRun
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", missing="model.layers.1.mlp.up_proj.weight")
    with pytest.raises(StepError, match="lacks weights"):
        open_weights(HfModel(path=str(file)), make_run())


def test_gguf_that_is_torn_is_refused(
    write_gguf: Callable[..., Path], tmp_path: Path, make_run: MakeRun
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    file.write_bytes(file.read_bytes()[:-20000])
    with pytest.raises(StepError, match="cannot be converted"):
        open_weights(HfModel(path=str(file)), make_run())


def test_one_of_several_gguf_files_must_be_named(
    write_gguf: Callable[..., Path], tmp_path: Path, make_run: MakeRun
) -> None:
    place = tmp_path / "several"
    place.mkdir()
    write_gguf(place / "one.gguf")
    write_gguf(place / "two.gguf")
    with pytest.raises(StepError, match=r"one\.gguf, two\.gguf"):
        open_weights(HfModel(path=str(place)), make_run("none"))
    assert open_weights(HfModel(path=str(place), file="two.gguf"), make_run("named")).name == "two"
    with pytest.raises(StepError, match="no GGUF file three"):
        open_weights(HfModel(path=str(place), file="three.gguf"), make_run("wrong"))


@pytest.mark.parametrize("up", ["../", "{}/"])
def test_a_gguf_file_outside_the_folder_is_refused(
    write_gguf: Callable[..., Path], tmp_path: Path, make_run: MakeRun, up: str
) -> None:
    write_gguf(tmp_path / "outside.gguf")
    (tmp_path / "inside").mkdir()
    config = HfModel(path=str(tmp_path / "inside"), file=up.format(tmp_path) + "outside.gguf")
    with pytest.raises(StepError, match="leads out of the folder"):
        open_weights(config, make_run())


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path, make_run: MakeRun) -> None:
    place = copied(folder, tmp_path / "pickled", "model.safetensors")
    (place / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(StepError, match="pickle"):
        open_weights(HfModel(path=str(place)), make_run())


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no weights"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_by_its_name(
    folder: Path, tmp_path: Path, make_run: MakeRun, without: str, said: str
) -> None:
    with pytest.raises(StepError, match=said):
        open_weights(HfModel(path=str(copied(folder, tmp_path / "part", without))), make_run())


def test_an_adapters_folder_is_refused(tmp_path: Path, make_run: MakeRun) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(StepError, match="an adapter, not a whole model"):
        open_weights(HfModel(path=str(tmp_path / "adapter")), make_run())


def test_torn_safetensors_are_refused(folder: Path, tmp_path: Path, make_run: MakeRun) -> None:
    place = copied(folder, tmp_path / "torn")
    whole = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(StepError, match="cannot be read"):
        open_weights(HfModel(path=str(place)), make_run())


def test_a_missing_shard_is_named(folder: Path, tmp_path: Path, make_run: MakeRun) -> None:
    place = copied(folder, tmp_path / "shards")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(StepError, match="model-00002-of-00002"):
        open_weights(HfModel(path=str(place)), make_run())


def test_a_missing_chat_template_is_told_and_allowed(
    folder: Path, tmp_path: Path, make_run: MakeRun, told: list[events.Event]
) -> None:
    place = copied(folder, tmp_path / "plain", "chat_template.jinja")
    open_weights(HfModel(path=str(place)), make_run())
    assert any(isinstance(event, events.Log) and "no chat template" in event.text for event in told)


@dataclass(frozen=True)
class OneStep:
    """As much of a recipe as the check looks at."""

    config: HfModel
    name: str = "model"
    implementation: Any = field(default_factory=lambda: llmops_implementations()[0])

    @property
    def steps(self) -> tuple[OneStep, ...]:
        return (self,)

    def origin(self, path: str) -> str:
        return "command line"


def test_weights_come_from_exactly_one_place() -> None:
    neither = llmops_check(OneStep(HfModel()))  # type: ignore[arg-type]
    both = llmops_check(OneStep(HfModel(address="file:x", path="y")))  # type: ignore[arg-type]
    assert [problem.what for problem in neither] == ["a model needs an address or a path"]
    assert [problem.where for problem in both] == ["model.path"]
    assert llmops_check(OneStep(HfModel(path="y"))) == []  # type: ignore[arg-type]


def test_a_folder_without_a_model_is_told_before_anything_runs(folder: Path, tmp_path: Path) -> None:
    (found,) = llmops_check(OneStep(HfModel(path=str(tmp_path))))  # type: ignore[arg-type]
    assert (found.where, found.what) == ("model.path", f"there is no model in {tmp_path}")
    assert llmops_check(OneStep(HfModel(path=str(folder)))) == []  # type: ignore[arg-type]


def test_a_local_folder_needs_no_download(folder: Path) -> None:
    assert [(one.what, one.value) for one in estimate(HfModel(path=str(folder)), {})] == [("download", 0)]
