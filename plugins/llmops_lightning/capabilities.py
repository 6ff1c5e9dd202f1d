"""What goes together and what does not: feature x objective x tuning x strategy x device.

Light: read when a recipe is checked, before anything is imported that could tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmops_core.errors import Problem
from llmops_lightning.choices import Machine, Rule, Setup
from llmops_lightning.config import LightningTrain
from llmops_lightning.speed_rules import SPEED_RULES

RULES: tuple[Rule, ...] = (
    Rule(
        "strategy.accelerator",
        lambda setup: setup.device == "gpu" and not setup.machine.nvidia,
        "there is no NVIDIA GPU here",
        "Set it to auto or cpu.",
        of_machine=True,
    ),
    Rule(
        "tuning.merge",
        lambda setup: setup.quantised and setup.lora.merge,
        "an adapter trained over 4-bit weights does not answer the same over whole ones",
        "Set tuning.merge=false: the adapter stays beside the weights.",
    ),
    Rule(
        "precision",
        lambda setup: (
            setup.config.precision == "bf16" and setup.device == "cpu" and not setup.machine.computes_bf16
        ),
        "this processor has no bf16 and would compute it many times slower than fp32",
        "Set precision=fp32.",
        of_machine=True,
    ),
    Rule(
        "tuning.frozen",
        lambda setup: (
            setup.lora.frozen == "bf16" and setup.device == "cpu" and not setup.machine.computes_bf16
        ),
        "this processor has no bf16 and would compute it many times slower than fp32",
        "Set tuning.frozen=fp32.",
        of_machine=True,
    ),
    Rule(
        "tuning.merge",
        lambda setup: setup.lora.frozen == "bf16" and setup.lora.merge,
        "an adapter trained over rounded weights does not answer the same over whole ones",
        "Set tuning.merge=false: the adapter stays beside the weights.",
    ),
    Rule(
        "batching",
        lambda setup: setup.config.batching == "packs" and setup.config.objective.use == "seq2seq",
        "examples of a source and a target cannot share a row",
        "Set batching=buckets.",
    ),
    Rule(
        "pack_length",
        lambda setup: setup.config.pack_length is not None and setup.config.batching != "packs",
        "it has no effect without packs",
        "Set batching=packs, or leave it out.",
    ),
    Rule(
        "pack_length",
        lambda setup: (
            (setup.config.pack_length or setup.config.max_length or 0) < (setup.config.max_length or 0)
        ),
        "a pack must hold the longest row",
        "Raise it to max_length.",
    ),
    Rule(
        "patience",
        lambda setup: setup.config.patience is not None and setup.config.validate_every is None,
        "nothing is validated on the way, so nothing could stop the training",
        "Set validate_every.",
    ),
    Rule(
        "patience",
        lambda setup: setup.config.patience is not None and not setup.config.validation_rows,
        "there are no rows to validate on",
        "Raise validation_rows.",
    ),
    Rule(
        "keep",
        lambda setup: setup.config.keep == "best" and not setup.config.validation_rows,
        "the best weights are those with the lowest validation loss, and there are no rows to validate on",
        "Raise validation_rows.",
    ),
    Rule(
        "strategy.offload_weights",
        lambda setup: (
            getattr(setup.config.strategy.config, "offload_weights", "none") == "nvme"
            and setup.config.tuning.use != "full"
        ),
        "adapters are more weights than DeepSpeed has buffers for between a disk and memory",
        "Set it to cpu.",
    ),
    Rule(
        "strategy.nvme_path",
        lambda setup: setup.on_disk and setup.disk is None,
        "nothing says where to put what is offloaded to nvme",
        "Set it to a folder on a fast disk.",
    ),
    Rule(
        "strategy.nvme_path",
        lambda setup: not setup.on_disk and setup.disk is not None,
        "it has no effect: nothing is offloaded to nvme",
        "Set strategy.offload=nvme or strategy.offload_weights=nvme, or leave it out.",
    ),
    Rule(
        "strategy.offload",
        lambda setup: setup.on_disk and not setup.machine.reads_disks_ahead,
        "offloading to nvme needs libaio with its headers (libaio.h), not found here",
        "apt install libaio-dev, or offload to cpu.",
        of_machine=True,
    ),
    Rule(
        "strategy.offload",
        lambda setup: (
            getattr(setup.config.strategy.config, "offload", "none") == "cpu" and setup.device == "cpu"
        ),
        "shares of weights that learn on the CPU are in its memory already",
        "Set it to none.",
        of_machine=True,
    ),
    Rule(
        "strategy.offload_weights",
        lambda setup: (
            getattr(setup.config.strategy.config, "offload_weights", "none") == "cpu"
            and setup.device == "cpu"
        ),
        "weights that compute on the CPU are in its memory already",
        "Set it to none.",
        of_machine=True,
    ),
    Rule(
        "threads",
        lambda setup: (setup.config.threads or 1) > 1 and not setup.replicated,
        "processes that share weights or gradients compute one micro-batch after another",
        "Leave it out, and raise strategy.processes.",
    ),
    Rule(
        "accumulate",
        lambda setup: setup.config.accumulate % setup.processes != 0,
        "the micro-batches of an optimizer step cannot be shared evenly among the strategy's processes",
        "Make it a multiple of strategy.processes.",
    ),
    *SPEED_RULES,
)
"""Read from top to bottom; each broken one is a problem, never a warning."""


def problems(config: LightningTrain, step: str, machine: Machine, *, here: bool = True) -> Iterator[Problem]:
    """What of a training's choices does not go together; `here`: the step runs on this machine."""
    setup = Setup(config, machine)
    for rule in RULES:
        if (here or not rule.of_machine) and rule.broken(setup):
            yield Problem(f"{step}.{rule.field}", rule.what, rule.remedy)
