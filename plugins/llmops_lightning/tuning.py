"""Which weights learn, and how what was learned is written down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import nn

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.config import Full, Lora
from llmops_lightning.weights import ADAPTER, quiet


class Tuning(Protocol):
    """What a `train/tuning` gives."""

    @property
    def stands_alone(self) -> bool:
        """Whether it writes whole weights, so that it may start from a merged adapter."""

    @property
    def dropout(self) -> bool:
        """Whether training draws random numbers."""

    def apply(self, network: nn.Module) -> nn.Module:
        """The network in which just what learns requires gradients. Draws from torch's seeded state."""

    def save(self, network: nn.Module, tokenizer: Any, model: Model, folder: Path) -> None:
        """Write what was learned over `model`; the same weights give the same bytes."""


def lora(config: Lora, run: StepRun) -> Tuning:
    """Low-rank adapters, in PEFT's format."""
    return LoraTuning(config, dropout=config.dropout > 0)


def full(config: Full, run: StepRun) -> Tuning:
    """All weights."""
    return FullTuning()


@dataclass(frozen=True)
class LoraTuning:
    """Low-rank adapters beside frozen weights."""

    config: Lora
    dropout: bool
    stands_alone: bool = False

    def apply(self, network: nn.Module) -> nn.Module:
        """The network wrapped by PEFT. Raises StepError when no module fits the targets."""
        from peft import LoraConfig, get_peft_model

        targets = (
            "all-linear" if tuple(self.config.targets) == ("all-linear",) else sorted(self.config.targets)
        )
        settings = LoraConfig(
            r=self.config.r,
            lora_alpha=self.config.alpha,
            lora_dropout=self.config.dropout,
            target_modules=targets,
            task_type="SEQ_2_SEQ_LM" if _has_encoder(network) else "CAUSAL_LM",
        )
        try:
            with quiet():
                tuned: nn.Module = get_peft_model(network, settings)
        except ValueError as error:
            linear = sorted({name.rsplit(".", 1)[-1] for name, one in network.named_modules() if _fits(one)})
            raise StepError(
                f"no adapter fits {', '.join(self.config.targets)}",
                where="tuning.targets",
                remedy=f"The model has: {', '.join(linear)}.",
            ) from error
        return tuned

    def save(self, network: nn.Module, tokenizer: Any, model: Model, folder: Path) -> None:
        """adapter_config.json and adapter_model.safetensors."""
        from peft import get_peft_model_state_dict

        state = get_peft_model_state_dict(network, save_embedding_layers=False)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        wrapped: Any = network
        says = wrapped.peft_config["default"].to_dict()
        # a path would be this machine's; sets have another order in each process
        says = {name: sorted(value) if isinstance(value, set) else value for name, value in says.items()}
        says |= {"base_model_name_or_path": model.name, "inference_mode": True}
        text = json.dumps(says, indent=2, sort_keys=True, default=str)
        (folder / ADAPTER).write_text(text + "\n", encoding="utf-8")


def _has_encoder(network: nn.Module) -> bool:
    return bool(getattr(network.config, "is_encoder_decoder", False))


def _fits(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)


@dataclass(frozen=True)
class FullTuning:
    """All weights learn."""

    dropout: bool = False
    stands_alone: bool = True

    def apply(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network.requires_grad_(True)

    def save(self, network: nn.Module, tokenizer: Any, model: Model, folder: Path) -> None:
        """Whole weights, tied ones once, and the tokenizer."""
        transformer: Any = network
        with quiet():
            transformer.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        for file in folder.glob("*.safetensors"):
            file.chmod(0o644)
