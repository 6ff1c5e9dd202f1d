"""What a recipe may say about training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from llmops_core.settings import Part, part, setting


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters beside frozen weights."""

    r: int = setting(8, doc="Rank of each adapter.", at_least=1, at_most=1024)
    alpha: int = setting(16, doc="An adapter's output is scaled by alpha / r.", at_least=1)
    dropout: float = setting(
        0.0,
        doc="Share of an adapter's inputs dropped while training. Above 0, a step's micro-batches run one "
        "after another.",
        at_least=0,
        below=1,
    )
    targets: Sequence[str] = setting(
        ("q_proj", "k_proj", "v_proj", "o_proj"),
        doc='Last names of the modules that get an adapter; ["all-linear"]: all linear ones but the head.',
    )
    rslora: bool = setting(
        False, doc="Scale by alpha / sqrt(r), which keeps large ranks learning (rsLoRA).", neutral=False
    )
    dora: bool = setting(
        False, doc="Learn each weight's direction and size apart (DoRA): slower, often better.", neutral=False
    )
    merge: bool = setting(
        False,
        doc="Write whole weights with the adapter added in, as safetensors, and the adapter beside them. "
        "Refused unless the merged and the reloaded model answer as the trained one.",
        neutral=False,
    )
    frozen: Literal["fp32", "bf16"] = setting(
        "fp32",
        doc="What the frozen weights are held in; adapters are always fp32. bf16 takes half the memory, for "
        "accelerators and for processors that compute in it.",
        neutral="fp32",
    )
    quantise: Literal["none", "nf4"] = setting(
        "none",
        doc="Hold the frozen weights in 4 bits (QLoRA), multiplied in bf16: for accelerators and for "
        "processors that compute in it. Needs bitsandbytes.",
        neutral="none",
    )


@dataclass(frozen=True)
class Full:
    """All weights learn. It needs about 16 bytes of memory a weight, and a smaller `lr` than adapters do."""


@dataclass(frozen=True)
class SingleStrategy:
    """One process on one device."""

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = setting(
        "auto", doc="The device; auto takes an accelerator where there is one."
    )


@dataclass(frozen=True)
class Ddp:
    """Several processes on this machine, each with all weights and its share of every optimizer step.

    The plan is the same for any number of them, and so are the gradients up to rounding: an interrupted
    training may go on with another number.
    """

    processes: int = setting(
        2,
        doc="How many, one for each GPU; under torchrun or Slurm as many as these started. Must divide "
        "`accumulate`. The result is the same up to rounding.",
        at_least=1,
        at_most=64,
        output=False,
    )
    accelerator: Literal["auto", "cpu", "gpu"] = setting(
        "auto", doc="The device; auto takes GPUs where there are any."
    )


@dataclass(frozen=True)
class Fsdp:
    """Several processes on this machine, each with its share of all weights, gradients and optimizer state.

    A layer's weights are put together while it computes (PyTorch's FSDP2): for models that do not fit on one
    device. The plan is the same for any number of processes, and so are the gradients up to rounding.
    """

    processes: int = setting(
        2,
        doc="How many, one for each GPU; under torchrun or Slurm as many as these started. Must divide "
        "`accumulate`. The result is the same up to rounding.",
        at_least=1,
        at_most=64,
        output=False,
    )
    accelerator: Literal["auto", "cpu", "gpu"] = setting(
        "auto", doc="The device; auto takes GPUs where there are any."
    )
    reduce: Literal["micro_batch", "step"] = setting(
        "micro_batch",
        doc="When gradients are summed over processes: after each micro-batch, or once a step, which "
        "exchanges less but holds whole gradients, 4 bytes for each weight that learns.",
    )
    offload: Literal["none", "cpu"] = setting(
        "none",
        doc="cpu holds the shares in the machine's memory, where the optimizer then steps, and only a "
        "layer's weights on the GPU: slow, for models that fit in no other way.",
    )


@dataclass(frozen=True)
class Zero:
    """Several processes on this machine that share the optimizer's state (DeepSpeed's ZeRO)."""

    processes: int = setting(
        2,
        doc="How many, one for each GPU; under torchrun or Slurm as many as these started. Must divide "
        "`accumulate`. The result is the same up to rounding.",
        at_least=1,
        at_most=64,
        output=False,
    )
    accelerator: Literal["auto", "cpu", "gpu"] = setting(
        "auto", doc="The device; auto takes GPUs where there are any."
    )
    offload: Literal["none", "cpu"] = setting(
        "none",
        doc="cpu: the optimizer's state lies in the machine's memory, and the optimizer steps there.",
        output=False,
    )

    stage: ClassVar[int] = 1


@dataclass(frozen=True)
class Zero2(Zero):
    """Several processes on this machine that share the optimizer's state and the gradients."""

    stage: ClassVar[int] = 2


@dataclass(frozen=True)
class Zero3(Zero):
    """Several processes on this machine that share the optimizer's state, the gradients and the weights.

    A layer's weights are put together while it computes: for models that do not fit on one device.
    """

    offload: Literal["none", "cpu", "nvme"] = setting(  # type: ignore[assignment]
        "none",
        doc="The optimizer's state lies in the machine's memory or on a disk, and the optimizer steps on the "
        "CPU.",
        output=False,
    )
    offload_weights: Literal["none", "cpu", "nvme"] = setting(
        "none",
        doc="The weights lie in the machine's memory or on a disk while they do not compute.",
        output=False,
    )
    nvme_path: str | None = setting(
        None, doc="A folder on a fast disk, for what is offloaded to nvme.", output=False
    )

    stage: ClassVar[int] = 3


@dataclass(frozen=True)
class Sft:
    """Supervised fine-tuning: only what is to be answered has loss, with the token that ends it.

    A row holds `messages` (the assistant's turns are learned), `question` and `answer`, `instruction` and
    `output` (all written by the chat template), or `prompt` and `completion` (taken as they are).
    """

    turns: Literal["all", "last"] = setting(
        "all", doc="Which of a dialogue's assistant turns have loss.", neutral="all"
    )
    label_smoothing: float = setting(
        0.0,
        doc="Share of the target's probability that is spread over all tokens while learning; the "
        "validation loss is without it.",
        at_least=0,
        below=1,
        neutral=0.0,
    )


@dataclass(frozen=True)
class Pretrain:
    """Continued pretraining: every token of a text is learned, and the one that ends it.

    A row holds `text`, or `messages` written out by the chat template. Long texts are split, never cut.
    """

    label_smoothing: float = setting(
        0.0,
        doc="Share of the target's probability that is spread over all tokens while learning.",
        at_least=0,
        below=1,
    )


@dataclass(frozen=True)
class Seq2seq:
    """Supervised fine-tuning of models with an encoder and a decoder (T5, BART): the answer has loss.

    A row holds one question and its answer: two `messages`, or `prompt` and `completion`.
    """

    label_smoothing: float = setting(
        0.0,
        doc="Share of the target's probability that is spread over all tokens while learning.",
        at_least=0,
        below=1,
    )


@dataclass(frozen=True)
class LightningTrain:
    """Fine-tuning. One optimizer step sees `batch_size` x `accumulate` rows."""

    epochs: int = setting(1, doc="How often each row is seen.", at_least=1)
    max_steps: int | None = setting(None, doc="Stop after this many optimizer steps.", at_least=1)
    max_rows: int | None = setting(None, doc="Train on a seeded sample of this many rows.", at_least=1)
    lr: float = setting(
        1e-3, doc="Peak learning rate. Adapters bear about 1e-3, whole weights 1e-5.", above=0
    )
    schedule: Literal["cosine", "linear", "constant", "stable"] = setting(
        "cosine",
        doc="How the learning rate goes after the warm-up: down to its end along a cosine or a line, not at "
        "all, or (stable) only in the last fifth of the training.",
    )
    lr_floor: float = setting(
        0.0,
        doc="Share of `lr` that the schedule ends at.",
        at_least=0,
        at_most=1,
        neutral=0.0,
    )
    warmup_steps: int = setting(
        4, doc="Optimizer steps over which the learning rate rises to its peak.", at_least=0
    )
    weight_decay: float = setting(
        0.0, doc="AdamW's decay of matrices (never of biases and norms).", at_least=0
    )
    batch_size: int = setting(4, doc="Rows of a micro-batch: what is in memory at once.", at_least=1)
    accumulate: int = setting(
        2,
        doc="Micro-batches of an optimizer step. On a CPU they run at once, one on each thread, so on a "
        "machine with many cores raise it and lower `batch_size`.",
        at_least=1,
    )
    max_length: int | None = setting(
        None,
        doc="Longer rows are cut. By default 1024, or the model's context where that is shorter.",
        unit="tokens",
        at_least=2,
    )
    batching: Literal["buckets", "packs"] = setting(
        "buckets",
        doc="How rows of a micro-batch are made: rows of like length together, each padded; or packs of "
        "several that do not see each other. Buckets are faster on a CPU, packs on a GPU.",
        neutral="buckets",
    )
    pack_length: int | None = setting(
        None, doc="Tokens of a pack; by default those of the longest row.", unit="tokens", at_least=2
    )
    recompute: Literal[False, True, "auto"] = setting(
        False,
        doc="Keep few activations and compute them again for the gradients (activation checkpointing): a "
        "third slower, in much less memory. auto: only where more memory is estimated than there is.",
        neutral=False,
    )
    gradient_clip: float | None = setting(1.0, doc="Norm that gradients are scaled down to.", above=0)
    precision: Literal["fp32", "bf16", "fp8"] = setting(
        "fp32",
        doc="bf16 computes in mixed precision, for accelerators; the weights stay as they are held. fp8 also "
        "multiplies the layers' large matrices in 8 bits, for NVIDIA GPUs from Ada and Hopper on, and needs "
        "`compile` and torchao.",
    )
    optimizer: Literal["adamw", "adamw8bit"] = setting(
        "adamw",
        doc="adamw8bit holds AdamW's state in 8 bits, 2 bytes for each weight that learns and not 8. Needs "
        "bitsandbytes.",
        neutral="adamw",
    )
    attention: Literal["auto", "sdpa", "eager", "flash", "flex"] = setting(
        "auto",
        doc="How attention is computed. flash: FlashAttention, which must be installed; flex: PyTorch's "
        "FlexAttention; both pass over what packs mask, on an NVIDIA GPU. auto: for packs on a GPU one of "
        "these, else what the model is loaded with, mostly sdpa.",
        neutral="auto",
    )
    compile: bool = setting(
        False,
        doc="Compile each layer (torch.compile) when it first computes: faster after a minute or more, on a "
        "GPU. On a CPU it needs a C++ compiler, and micro-batches run one after another.",
        neutral=False,
    )
    validation_rows: int = setting(
        48, doc="Rows of the validation split to watch the loss on; 0: none.", at_least=0
    )
    validate_every: int | None = setting(
        None,
        doc="Validate after every so many optimizer steps; always before the first and after the last.",
        unit="steps",
        at_least=1,
    )
    checkpoint_every: int = setting(
        10,
        doc="Optimizer steps between checkpoints, from which an interrupted training goes on.",
        unit="steps",
        at_least=1,
        output=False,
    )
    checkpoint_minutes: float | None = setting(
        10.0,
        doc="The longest time between checkpoints, where steps are slow. SIGTERM and Ctrl-C save at once.",
        unit="minutes",
        above=0,
        output=False,
    )
    checkpoints_kept: int = setting(
        2, doc="How many of the newest checkpoints stay.", at_least=1, output=False
    )
    patience: int | None = setting(
        None,
        doc="Stop when so many validations in a row, every `validate_every` steps, brought no lower loss.",
        at_least=1,
        neutral=None,
    )
    keep: Literal["last", "best"] = setting(
        "last",
        doc="The weights that come out: the last, or those with the lowest validation loss.",
        neutral="last",
    )
    neftune: float = setting(
        0.0,
        doc="Size of the noise on the embeddings while learning (NEFTune's alpha, for instance 5). Above 0, "
        "a step's micro-batches run one after another.",
        at_least=0,
        neutral=0.0,
    )
    threads: int | None = setting(
        None,
        doc="CPU threads, each with a micro-batch of its own, so at most `accumulate`; by default the number "
        "that turns out fastest in the first steps. The result does not depend on it.",
        at_least=1,
        output=False,
    )
    max_silent_share: float = setting(
        0.5,
        doc="Refuse data when more than this share of its rows has nothing to learn within `max_length`.",
        at_least=0,
        at_most=1,
        output=False,
    )
    processes: int | None = setting(
        None,
        doc="Processes that turn rows into tokens; by default one for every 20,000 rows, up to the cores.",
        at_least=1,
        output=False,
    )
    tuning: Part = part("train/tuning", "lora", doc="Which weights learn.")
    strategy: Part = part(
        "train/strategy",
        "single",
        doc="How the work is spread over devices. The result is the same up to rounding: an interrupted "
        "training may go on with another.",
        output=False,
    )
    objective: Part = part("train/objective", "sft", doc="What is learned from a row.")


def processes_of(config: LightningTrain) -> int:
    """How many processes a training's strategy shares the work among."""
    return int(getattr(config.strategy.config, "processes", 1))
