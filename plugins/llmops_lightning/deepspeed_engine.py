"""DeepSpeed's engine, on any device, kept quiet, and leaving nothing behind in this process."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import distributed

from llmops_lightning.config import Zero, Zero3
from llmops_lightning.spread import Learner
from llmops_lightning.team import Team, expect_group

BUCKET = 50_000_000
"""The most numbers that are exchanged at once; buffers of that size are held."""
HELD = 100_000
"""Weights of fewer numbers stay whole in every process, as fetching them costs more than holding them."""


def start_engine(
    learner: Learner, adamw: torch.optim.Optimizer, chosen: Zero, team: Team, device: torch.device
) -> Any:
    """The engine (deepspeed.DeepSpeedEngine) around a learner whose weights are whole in every process.

    For as long as it lives, LOCAL_RANK in the environment must be `team.local`.
    """
    deepspeed = _library(device.type)
    expect_group(team, device.type)
    # numbers are compared between processes, and would go on from an earlier engine of one of them
    deepspeed.zero.Init.param_id = 0
    with exchanging():
        deepspeed.init_distributed(distributed.get_backend())
        engine, *_ = deepspeed.initialize(
            model=learner,
            optimizer=adamw,
            config=settings(learner, chosen, on_gpu=device.type == "cuda"),
            dist_init_required=False,
        )
    for at, module in enumerate(learner.modules()):
        module.ds_id = at  # type: ignore[assignment]
    return engine


def end_engine(engine: Any) -> None:
    """Take DeepSpeed's hooks off the network, and forget the processes it exchanged with."""
    import deepspeed
    from deepspeed.runtime.zero import parameter_offload

    engine.destroy()
    parameter_offload.FWD_MODULE_STACK.clear()
    if distributed.is_initialized():
        deepspeed.comm.destroy_process_group()


def settings(learner: Learner, chosen: Zero, *, on_gpu: bool) -> Mapping[str, Any]:
    """DeepSpeed's own configuration: where things lie. What a step does to the weights is ours to say."""
    sizes = [one.numel() for one in learner.parameters()]
    bucket = min(BUCKET, sum(sizes))
    zero: dict[str, Any] = {
        "stage": chosen.stage,
        "overlap_comm": on_gpu,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
    }
    if chosen.offload != "none":
        zero["offload_optimizer"] = _place(chosen.offload, chosen, on_gpu)
    if isinstance(chosen, Zero3):
        zero["stage3_prefetch_bucket_size"] = bucket
        zero["stage3_param_persistence_threshold"] = min(HELD, max(sizes) // 8)
        if chosen.offload_weights != "none":
            place = _place(chosen.offload_weights, chosen, on_gpu)
            zero["offload_param"] = {**place, "buffer_size": max(sizes)}
    # torch's AdamW steps as fast on a CPU as DeepSpeed's own, which would be compiled first
    return {
        "train_micro_batch_size_per_gpu": 1,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": zero,
    }


def _place(where: str, chosen: Zero, pinned: bool) -> Mapping[str, Any]:
    path = {"nvme_path": chosen.nvme_path} if where == "nvme" and isinstance(chosen, Zero3) else {}
    return {"device": where, "pin_memory": pinned, **path}


@contextlib.contextmanager
def exchanging() -> Iterator[None]:
    """Hide what torch says of the names that DeepSpeed calls its exchanges by."""
    with warnings.catch_warnings():
        told = r"`torch\.distributed\.(all_gather_into_tensor|reduce_scatter_tensor)` is deprecated"
        warnings.filterwarnings("ignore", told, FutureWarning)
        yield


def _library(device: str) -> Any:
    """DeepSpeed for a device; imported here, as it takes seconds and looks for compilers."""
    # dynamo: an optimizer that we do not use would be compiled when DeepSpeed looks for it
    with environment(DS_ACCELERATOR=device, TORCHDYNAMO_DISABLE="1"):
        deepspeed = importlib.import_module("deepspeed")
        importlib.import_module("deepspeed.runtime.zero.muon.original_muon")
    if deepspeed.get_accelerator().device_name() != device:
        kind = importlib.import_module(f"deepspeed.accelerator.{device}_accelerator")
        deepspeed.accelerator.set_accelerator(getattr(kind, f"{device.upper()}_Accelerator")())
    # that it skips a step whose gradients are no numbers is ours to tell
    deepspeed.utils.logger.setLevel(logging.ERROR)
    # what it could compile: an exchange between processes on a CPU would be, for minutes
    deepspeed.ops.__compatible_ops__ = {}
    return deepspeed


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
