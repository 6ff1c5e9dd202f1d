"""A tiny random model with a tokenizer, an adapter over it, a few rows, and a way to run the stage."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmops_core.artifacts import Dataset, Model, Scores
from llmops_core.events import Event, Log
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_eval import config as settings
from llmops_eval.answers import evaluate_answers
from llmops_eval.config import AnswersEvaluate

CONTEXT = 128
PAIRS = (
    ("My printer does not print.", "Is it switched on?"),
    ("Hello", "Hi!"),
    ("The router blinks red, what does that mean, and what can I do about it?", "Restart it, then wait."),
    ("What is AI?", "The science of machines that think."),
    ("Grüße, 東京!", "こんにちは"),
    ("Tell me a joke", "No."),
    ("How long is the warranty of this screen?", "Two years, and a third if it was registered in time."),
)
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|start|>system\nYou help.<|end|>\n' }}{% endif %}"
    "{{ '<|start|>' + message['role'] + '\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


def messages(question: str, answer: str) -> list[dict[str, str]]:
    """A conversation of one question and its answer."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|end|>", "<|start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([text for pair in PAIRS for text in pair] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture(scope="session")
def base(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    network = LlamaForCausalLM(shape)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Model(folder=folder, name="tiny", parameters=network.num_parameters(), context=CONTEXT)


@pytest.fixture
def adapted(base: Model, tmp_path: Path) -> Callable[..., Model]:
    """Makes an adapter over a model: `adapted(name, targets=..., learned=False)`."""

    def make(
        name: str, targets: Sequence[str] = ("q_proj", "v_proj"), learned: bool = True, over: Model = base
    ) -> Model:
        torch.manual_seed(len(name))
        network = LlamaForCausalLM.from_pretrained(base.folder)
        says = LoraConfig(
            r=4, target_modules=list(targets), init_lora_weights=not learned, task_type="CAUSAL_LM"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft's own, of transformers' names and of tied layers
            wrapped = get_peft_model(network, says)
            wrapped.save_pretrained(tmp_path / name, save_embedding_layers=False)
        return Model(folder=tmp_path / name, name=name, parameters=1, context=CONTEXT, base=over)

    return make


def dataset(folder: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> Dataset:
    """Rows in the split `test`."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"messages": messages(*pair)}) + "\n" for pair in pairs]
    (folder / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    return Dataset(folder=folder, rows={"test": len(pairs)}, shape="messages")


OFFERED = {
    "perplexity": settings.Perplexity,
    "exact_match": settings.ExactMatch,
    "bleu": settings.Bleu,
    "rouge_l": settings.RougeL,
}


def chosen(*names: str) -> dict[str, Part]:
    """Metrics as a recipe chooses them."""
    return {name: Part("evaluate/metric", name, OFFERED[name]()) for name in names}


@dataclass
class Evaluation:
    """Runs the stage in folders of its own, and keeps what it told."""

    folder: Path
    foreign: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """Metrics by name, beside those of the package."""
    events: list[Event] = field(default_factory=list)
    count: int = 0

    @property
    def warnings(self) -> list[str]:
        return [one.text for one in self.events if isinstance(one, Log) and one.level == "warning"]

    def run(self, seed: int = 0) -> StepRun:
        self.count += 1
        out = self.folder / f"out{self.count}"
        out.mkdir()
        return StepRun(
            folder=out,
            scratch=self.folder,
            cache=self.folder,
            state=self.folder,
            step="evaluate",
            seed=seed,
            loader=self._load,
            tell=self.events.append,
        )

    def _load(self, part: Part) -> Callable[..., Any]:
        if part.use in self.foreign:
            return self.foreign[part.use]
        return getattr(import_module(f"llmops_eval.metrics.{part.use}"), part.use)

    def __call__(
        self,
        candidate: Model,
        baseline: Model | None = None,
        data: Dataset | None = None,
        metrics: Mapping[str, Part] | None = None,
        **values: Any,
    ) -> Scores:
        data = data or dataset(self.folder / "data")
        metrics = chosen("perplexity") if metrics is None else metrics
        config = AnswersEvaluate(
            metrics=metrics, **{"max_new_tokens": 12, "resamples": 200, "threads": 1, **values}
        )
        return evaluate_answers(config, self.run(), candidate=candidate, baseline=baseline, data=data)


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    return Evaluation(tmp_path)


def lines(scores: Scores, name: str) -> list[dict[str, Any]]:
    """The records of one of the files that the stage wrote."""
    text = (scores.folder / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
