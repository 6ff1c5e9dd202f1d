"""Which weights learn, and how what was learned is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors.torch import save_file
from torch import nn

from llmops_core.artifacts import Model
from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.config import Full, Lora
from llmops_lightning.export import answers, expect_same, export
from llmops_lightning.weights import ADAPTER, is_adapter, quiet


class Tuning(Protocol):
    """What a `train/tuning` gives."""

    @property
    def loading(self) -> Mapping[str, Any]:
        """Arguments of transformers' from_pretrained that it needs."""

    def apply(self, network: nn.Module) -> nn.Module:
        """The network in which just what learns requires gradients. Draws from torch's seeded state."""

    def save(self, network: nn.Module, tokenizer: Any, model: Model, run: StepRun) -> None:
        """Write what was learned over `model` into `run.folder`; the same weights give the same bytes."""


def lora(config: Lora, run: StepRun) -> Tuning:
    """Low-rank adapters, in PEFT's format."""
    return LoraTuning(config)


def full(config: Full, run: StepRun) -> Tuning:
    """All weights."""
    return FullTuning()


@dataclass(frozen=True)
class LoraTuning:
    """Low-rank adapters beside frozen weights."""

    config: Lora

    @property
    def loading(self) -> Mapping[str, Any]:
        """Frozen weights in fewer bits where that is asked for."""
        if self.config.quantise == "none":
            return {"dtype": torch.bfloat16} if self.config.frozen == "bf16" else {}
        from transformers import BitsAndBytesConfig

        quantised = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type=self.config.quantise,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        # wherever they learn, they are made on the CPU: each process takes them to a device of its own
        return {"quantization_config": quantised, "dtype": torch.bfloat16, "device_map": {"": "cpu"}}

    def apply(self, network: nn.Module) -> nn.Module:
        """The network wrapped by PEFT. Raises StepError when no module fits the targets."""
        with quiet():
            from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        if self.config.quantise != "none":
            network = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
                network, use_gradient_checkpointing=False
            )
        targets = (
            "all-linear" if tuple(self.config.targets) == ("all-linear",) else sorted(self.config.targets)
        )
        known = {name.rsplit(".", 1)[-1] for name, _ in network.named_modules()}
        if targets != "all-linear" and (unknown := sorted(set(targets) - known)):
            raise self._unfit(network, unknown)
        settings = LoraConfig(
            r=self.config.r,
            lora_alpha=self.config.alpha,
            lora_dropout=self.config.dropout,
            use_rslora=self.config.rslora,
            use_dora=self.config.dora,
            target_modules=targets,
            task_type="SEQ_2_SEQ_LM" if _has_encoder(network) else "CAUSAL_LM",
        )
        try:
            with quiet():
                tuned: nn.Module = get_peft_model(network, settings)
        except ValueError as error:
            raise self._unfit(network, self.config.targets) from error
        return tuned

    def _unfit(self, network: nn.Module, targets: Sequence[str]) -> StepError:
        linear = sorted({name.rsplit(".", 1)[-1] for name, one in network.named_modules() if _fits(one)})
        return StepError(
            f"no module is called {' or '.join(targets)}",
            where="tuning.targets",
            remedy=f"The model has: {', '.join(linear)}.",
        )

    def save(self, network: nn.Module, tokenizer: Any, model: Model, run: StepRun) -> None:
        """adapter_config.json and adapter_model.safetensors; with `merge` these in adapter/, beside the
        whole weights."""
        if not self.config.merge:
            if is_adapter(model):
                run.warn(
                    f"this adapter stands on {model.name}, an adapter itself: it can be evaluated and "
                    "trained further; to be served it needs tuning.merge=true"
                )
            self._save_adapter(network, model, run.folder)
            return
        (run.folder / "adapter").mkdir()
        self._save_adapter(network, model, run.folder / "adapter")
        live, wrapped = answers(network), cast(Any, network)
        with quiet():
            merged = wrapped.merge_and_unload(safe_merge=True)
        expect_same(live, answers(merged), "merging", run)
        export(merged, tokenizer, run.folder, live, run)

    def _save_adapter(self, network: nn.Module, model: Model, folder: Path) -> None:
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
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


@dataclass(frozen=True)
class FullTuning:
    """All weights learn."""

    @property
    def loading(self) -> Mapping[str, Any]:
        """Nothing beside fp32."""
        return {}

    def apply(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network.requires_grad_(True)

    def save(self, network: nn.Module, tokenizer: Any, model: Model, run: StepRun) -> None:
        """Whole weights, tied ones once, and the tokenizer."""
        export(network, tokenizer, run.folder, answers(network), run)
