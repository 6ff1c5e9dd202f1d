"""Whole weights as safetensors, refused unless what is read back answers as what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from llmops_core.errors import StepError
from llmops_core.step import StepRun
from llmops_lightning.causal import bare_network
from llmops_lightning.weights import load_folder, plain, quiet

TOLERANCE = 2e-3
"""The most that a log-probability may move. Rounding in fp32 moves it by about 1e-4."""
PROBES, LENGTH = 2, 24


@torch.no_grad()
def answers(network: nn.Module) -> Tensor:
    """Log-probabilities of every token after each position of a few fixed sequences."""
    bare: Any = bare_network(network)
    device = next(bare.parameters()).device
    chance = torch.Generator().manual_seed(0)
    words = bare.get_input_embeddings().weight.shape[0]
    ids = torch.randint(0, words, (PROBES, LENGTH), generator=chance).to(device)
    inputs = {"input_ids": ids, "use_cache": False}
    if getattr(bare.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = ids
    was = network.training
    network.eval()
    try:
        scores: Tensor = bare(**inputs).logits
    finally:
        network.train(was)
    return torch.log_softmax(scores.float(), -1).cpu()


def expect_same(live: Tensor, other: Tensor, what: str, run: StepRun) -> float:
    """How far answers lie apart. Raises StepError when that is more than rounding."""
    moved = float((live - other).abs().max())
    if not moved <= TOLERANCE:
        raise StepError(
            f"{what} moved log-probabilities by {moved:.2g}, more than {TOLERANCE:g}: refused",
            where=run.step,
            remedy="Set tuning.merge=false, or leave the embeddings and the output layer out of the targets.",
        )
    return moved


def export(
    network: nn.Module, tokenizer: PreTrainedTokenizerBase, folder: Path, live: Tensor, run: StepRun
) -> None:
    """Write whole weights, tied ones once, with the tokenizer, and read them back to be compared.

    `live` is what was answered while training. Raises StepError when the files answer otherwise.
    """
    transformer: Any = network
    with quiet(), plain():
        transformer.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)
    moved = expect_same(live, answers(load_folder(folder, "the tuned model")), "saving", run)
    run.log(f"the saved weights answer as the trained ones: log-probabilities moved by at most {moved:.1e}")
