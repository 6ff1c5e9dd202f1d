"""Texts as unit vectors, by a model in a local folder.

The same text gives the same bytes whatever stands beside it: every batch of one length has one shape.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel
from transformers.utils import logging

from llmops_core.errors import DataError

Vectors = NDArray[np.float32]
"""A row of unit length a text."""
STRIDE = 16
"""Tokens by which batches differ in length."""
POOLING = "1_Pooling/config.json"


class Embedder:
    """A model with its tokenizer. Raises DataError when the folder holds none."""

    def __init__(self, folder: Path, max_tokens: int, batch: int) -> None:
        self._batch = batch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            model = _loaded(folder)
        except Exception as error:  # tokenizers raises plain Exception, transformers many kinds
            what = f"it holds no embedding model: {str(error).splitlines()[0]}"
            remedy = (
                "It needs config.json, model.safetensors and tokenizer.json, as transformers writes them."
            )
            raise DataError(what, where=str(folder), remedy=remedy) from error
        self._model = model.eval().to(self.device)
        room = getattr(model.config, "max_position_embeddings", max_tokens)
        self._tokenizer.enable_truncation(min(max_tokens, room))
        self._tokenizer.no_padding()
        self._longest = min(max_tokens, room)
        self._first_token = _first_token(folder)
        self.width: int = model.config.hidden_size

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Each text's vector."""
        found = np.empty((len(texts), self.width), np.float32)
        encoded = [one.ids for one in self._tokenizer.encode_batch_fast(list(texts))]
        by_length: dict[int, list[int]] = defaultdict(list)
        for place, ids in enumerate(encoded):
            by_length[min(self._longest, -(-max(1, len(ids)) // STRIDE) * STRIDE)].append(place)
        for length, places in sorted(by_length.items()):
            for start in range(0, len(places), self._batch):
                some = places[start : start + self._batch]
                found[some] = self._vectors([encoded[place] for place in some], length)[: len(some)]
        return found

    @torch.inference_mode()
    def _vectors(self, ids: Sequence[Sequence[int]], length: int) -> Any:
        """The vectors of one batch, with others behind them where it is not full."""
        tokens = torch.zeros((self._batch, length), dtype=torch.long)
        mask = torch.zeros((self._batch, length), dtype=torch.long)
        mask[:, 0] = 1
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = torch.tensor(one)
            mask[row, : len(one)] = 1
        mask = mask.to(self.device)
        hidden = self._model(input_ids=tokens.to(self.device), attention_mask=mask).last_hidden_state
        if self._first_token:
            pooled = hidden[:, 0]
        else:
            shares = mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * shares).sum(1) / shares.sum(1)
        return torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()


def _loaded(folder: Path) -> Any:
    """The model, without transformers' own progress bar."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    finally:
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _first_token(folder: Path) -> bool:
    """Whether a text's vector is its first token's, as sentence-transformers notes; else it is their mean."""
    path = folder / POOLING
    return path.exists() and bool(json.loads(path.read_text("utf-8")).get("pooling_mode_cls_token"))
