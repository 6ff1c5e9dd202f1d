"""Runs a causal language model over rows of tokens: how likely they are, and what it writes after them.

Rows are padded on the left. The tokens that all prompts begin with (a system prompt) are read once and
their keys and values shared by every batch, where the attention of all layers is full.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llmops_eval.encoding import Encoded, shared_beginning
from llmops_eval.metric import Likelihood

WORTH_SHARING = 4
"""Tokens: a shorter beginning is not worth a pass of its own."""
WORTH_DROPPING = 0.8
"""Finished rows leave a batch once no more than this share of it still writes."""


class InterruptedBatchError(Exception):
    """The evaluation is being stopped; ends a batch that another thread works on."""


class LanguageModel:
    """A model prepared for some rows. Its methods may be called from several threads at once.

    `stop`, once set, ends what is under way with InterruptedBatchError.
    """

    def __init__(self, module: Any, rows: Sequence[Encoded], ends: set[int], stop: threading.Event) -> None:
        self.module = module
        self.device = next(module.parameters()).device
        self.ends = ends
        self.stop = stop
        takes = inspect.signature(module.forward).parameters
        self._takes = {name for name in ("position_ids", "logits_to_keep") if name in takes}
        self.full = all(type(layer) is DynamicLayer for layer in DynamicCache(config=module.config).layers)
        self._shared: Any = None
        self.shared = self._share([row.prompt for row in rows] + [row.before for row in rows])

    @torch.inference_mode()
    def _share(self, sequences: Sequence[tuple[int, ...]]) -> int:
        """Reads what all sequences begin with; gives how many tokens that is."""
        count = shared_beginning(sequences) if self.full else 0
        if count < WORTH_SHARING:
            return 0
        begun = DynamicCache(config=self.module.config)
        ids = torch.tensor([sequences[0][:count]], device=self.device)
        self.module(input_ids=ids, past_key_values=begun, use_cache=True)
        self._shared = begun
        return count

    def _cache(self, rows: int) -> Any:
        if self._shared is None:
            return DynamicCache(config=self.module.config)
        cache = copy.deepcopy(self._shared)
        cache.batch_repeat_interleave(rows)
        return cache

    def _padded(self, sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids without the shared beginning, padded on the left, and the mask of the whole width."""
        width = max(len(sequence) for sequence in sequences) - self.shared
        ids = torch.zeros((len(sequences), width), dtype=torch.long)
        mask = torch.zeros((len(sequences), self.shared + width), dtype=torch.long)
        mask[:, : self.shared] = 1
        for row, sequence in enumerate(sequences):
            own = len(sequence) - self.shared
            ids[row, width - own :] = torch.tensor(sequence[self.shared :])
            mask[row, self.shared + width - own :] = 1
        return ids.to(self.device), mask.to(self.device)

    def _logits(
        self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, keep: int, last: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The logits at the last `keep` places; `last` holds the positions of single new tokens."""
        positions = last if last is not None else (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        extra = {"position_ids": positions, "logits_to_keep": keep}
        given = {name: extra[name] for name in self._takes}
        found: torch.Tensor = self.module(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=cache is not None, **given
        ).logits
        return found[:, -keep:]

    @torch.inference_mode()
    def likelihoods(self, rows: Sequence[Encoded]) -> list[Likelihood]:
        """How likely each row's answer is after what comes before it. One batch."""
        if self.stop.is_set():
            raise InterruptedBatchError
        ids, mask = self._padded([row.before + row.answer for row in rows])
        longest = max(len(row.answer) for row in rows)
        cache = self._cache(len(rows)) if self.shared else None
        logits = self._logits(ids, mask, cache, longest + 1)
        found = []
        for row, encoded in enumerate(rows):
            count = len(encoded.answer)
            told = torch.nn.functional.cross_entropy(
                logits[row, -count - 1 : -1].float(), ids[row, -count:], reduction="none"
            )
            found.append(Likelihood(float(told.double().sum()), count))
        return found

    @torch.inference_mode()
    def generations(
        self, rows: Sequence[Encoded], limit: int, advanced: Callable[[float], None] = lambda share: None
    ) -> list[list[int]]:
        """What the model most likely writes after each prompt, token by token, at most `limit` tokens.

        One batch. `advanced` is told, as it goes, the share of the batch's work that is behind.
        """
        written: list[list[int]] = [[] for _ in rows]
        alive, finished = list(range(len(rows))), set[int]()
        ids, mask = self._padded([row.prompt for row in rows])
        cache, positions = self._cache(len(rows)), None
        for step in range(limit):
            if self.stop.is_set():
                raise InterruptedBatchError
            logits = self._logits(ids, mask, cache, 1, positions)
            picks = logits[:, -1].argmax(-1)
            for row, token in zip(alive, picks.tolist(), strict=True):
                if row in finished or token in self.ends:
                    finished.add(row)
                else:
                    written[row].append(token)
            advanced((step + 1) / limit)
            if len(finished) == len(rows):
                break
            positions = mask.sum(1, keepdim=True)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            ids = picks[:, None]
            going = [place for place, row in enumerate(alive) if row not in finished]
            if self.full and len(going) <= WORTH_DROPPING * len(alive):
                chosen = torch.tensor(going, device=self.device)
                cache.batch_select_indices(chosen)
                ids, mask, positions = ids[chosen], mask[chosen], positions[chosen]
                alive = [alive[place] for place in going]
        return written
