"""What the evaluation needs, from the size of the model and the number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmops_core.hookspecs import Estimate

if TYPE_CHECKING:
    from llmops_eval.config import AnswersEvaluate

START = 4.0
"""Seconds to import the libraries and load small weights."""
A_BILLION_PARAMETERS = 0.026
"""Seconds of one core for a token and a billion parameters, reading and writing mixed."""
PROMPT, ANSWER = 30, 20
"""Tokens of a short question of its own, and of its reference answer."""
CORES = 2
"""Processor cores reckoned with."""
LIBRARIES = 0.7e9
"""Bytes of memory that the libraries take."""
BATCH_BYTES = 0.5e9
"""Bytes of activations, keys, values and logits of the batches under way."""
LIKELIHOODS_ALONE = {"perplexity"}
"""Metrics known to need no answers written."""


def estimate(config: AnswersEvaluate, inputs: Mapping[str, Any]) -> Sequence[Estimate]:
    """Time and memory, once the model is known; without the data, as many rows as `max_rows` allows."""
    model, data = inputs.get("candidate") or inputs.get("baseline"), inputs.get("data")
    if model is None:
        return ()
    while getattr(model, "base", None) is not None and model.parameters < model.base.parameters:
        model = model.base
    width = 4 if config.precision == "float32" else 2
    told = [
        Estimate(
            "memory",
            model.parameters * width + LIBRARIES + BATCH_BYTES,
            f"{model.parameters / 1e6:.0f}M parameters of {width} bytes, and the libraries",
        )
    ]
    rows = data.rows.get(config.split, 0) if data is not None else config.max_rows
    if rows is None:
        return tuple(told)
    rows = min(rows, config.max_rows or rows)
    writes = any(part.use not in LIKELIHOODS_ALONE for part in config.metrics.values())
    tokens = PROMPT + ANSWER + (PROMPT + config.max_new_tokens if writes else 0)
    seconds = START + 2 * rows * tokens * A_BILLION_PARAMETERS * model.parameters / 1e9 / CORES
    basis = f"two models, {rows} rows of about {tokens} tokens, {CORES} processor cores"
    return (*told, Estimate("time", seconds, basis))
