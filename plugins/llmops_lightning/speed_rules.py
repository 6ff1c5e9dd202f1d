"""Which ways of computing faster, or in less memory, go together with what."""

from __future__ import annotations

from llmops_lightning.choices import Rule, Setup


def _eight_bits(setup: Setup) -> bool:
    return setup.config.optimizer == "adamw8bit"


def _fp8(setup: Setup) -> bool:
    return setup.config.precision == "fp8"


def _kernel(setup: Setup) -> bool:
    return setup.config.attention in ("flash", "flex")


OF_COMPILING = (
    Rule(
        "compile",
        lambda setup: setup.config.compile and not setup.replicated,
        "compiled layers have not been tried where processes share weights or gradients",
        "Set compile=false, or choose the strategy single or ddp.",
    ),
    Rule(
        "compile",
        lambda setup: setup.config.compile and setup.device == "mps",
        "compiled layers have not been tried on an Apple GPU",
        "Set compile=false.",
        of_machine=True,
    ),
    Rule(
        "compile",
        lambda setup: setup.config.compile and setup.device == "cpu" and not setup.machine.compiles,
        "layers are compiled with a C++ compiler, and there is none here",
        "Install g++ (or name another in CXX), or set compile=false.",
        of_machine=True,
    ),
    Rule(
        "compile",
        lambda setup: setup.config.compile and setup.device == "gpu" and not setup.machine.has("triton"),
        "layers are compiled with triton, not installed here",
        "Install the torch that is built for this GPU, which brings it, or set compile=false.",
        of_machine=True,
    ),
    Rule(
        "threads",
        lambda setup: setup.config.compile and (setup.config.threads or 1) > 1,
        "compiled layers take micro-batches one after another",
        "Leave threads out, or set compile=false, which is faster on a CPU with several cores.",
    ),
)

OF_OPTIMIZERS = (
    Rule(
        "optimizer",
        lambda setup: _eight_bits(setup) and not setup.machine.has("bitsandbytes"),
        "AdamW in 8 bits needs bitsandbytes, not installed here",
        'pip install "llmops[quantised]"',
        of_machine=True,
    ),
    Rule(
        "optimizer",
        lambda setup: _eight_bits(setup) and not setup.replicated,
        "AdamW in 8 bits needs its whole state in each process",
        "Set optimizer=adamw: its state is spread over the processes.",
    ),
    Rule(
        "optimizer",
        lambda setup: _eight_bits(setup) and setup.device == "mps",
        "AdamW in 8 bits has not been tried on an Apple GPU",
        "Set optimizer=adamw.",
        of_machine=True,
    ),
)

OF_ATTENTION = (
    Rule(
        "attention",
        lambda setup: _kernel(setup) and setup.device != "gpu",
        "this attention learns on an NVIDIA GPU only",
        "Set attention=auto.",
        of_machine=True,
    ),
    Rule(
        "attention",
        lambda setup: setup.config.attention == "flash" and not setup.flash,
        "FlashAttention (flash_attn) is not installed here",
        "pip install flash-attn --no-build-isolation, or set attention=flex.",
        of_machine=True,
    ),
    Rule(
        "attention",
        lambda setup: setup.config.attention == "flash" and setup.config.precision == "fp32",
        "FlashAttention does not compute in fp32",
        "Set precision=bf16, or attention=flex.",
    ),
    Rule(
        "attention",
        lambda setup: _kernel(setup) and setup.config.objective.use == "seq2seq",
        "models with an encoder add to attention what this one has no place for",
        "Set attention=auto.",
    ),
)

OF_FP8 = (
    Rule(
        "precision",
        lambda setup: _fp8(setup) and setup.device != "gpu",
        "fp8 needs an NVIDIA GPU",
        "Set precision=bf16 or fp32.",
        of_machine=True,
    ),
    Rule(
        "precision",
        lambda setup: _fp8(setup) and setup.device == "gpu" and not setup.machine.computes_fp8,
        "this GPU has no fp8, which Ada and Hopper brought",
        "Set precision=bf16.",
        of_machine=True,
    ),
    Rule(
        "precision",
        lambda setup: _fp8(setup) and not setup.machine.has("torchao"),
        "fp8 needs torchao, not installed here",
        'pip install "llmops[fp8]"',
        of_machine=True,
    ),
    Rule(
        "precision",
        lambda setup: _fp8(setup) and not setup.config.compile,
        "without compiled layers, rounding to fp8 takes longer than it saves",
        "Set compile=true.",
    ),
    Rule(
        "precision",
        lambda setup: _fp8(setup) and not setup.replicated,
        "fp8 has not been tried with weights that are spread over processes",
        "Set precision=bf16, or choose the strategy single or ddp.",
    ),
    Rule(
        "precision",
        lambda setup: _fp8(setup) and setup.quantised,
        "weights in 4 bits are multiplied in bf16",
        "Set precision=bf16, or tuning.quantise=none.",
    ),
)

OF_FOUR_BITS = (
    Rule(
        "tuning.quantise",
        lambda setup: setup.quantised and setup.device == "mps",
        "weights in 4 bits have not been tried on an Apple GPU",
        "Set tuning.quantise=none.",
        of_machine=True,
    ),
    Rule(
        "tuning.quantise",
        lambda setup: setup.quantised and setup.device == "cpu" and not setup.machine.computes_bf16,
        "weights in 4 bits are multiplied in bf16, which this processor has not",
        "Set tuning.quantise=none, or run the step on a machine with a GPU.",
        of_machine=True,
    ),
    Rule(
        "tuning.quantise",
        lambda setup: setup.quantised and not setup.machine.has("bitsandbytes"),
        "weights in 4 bits need bitsandbytes, not installed here",
        'pip install "llmops[quantised]"',
        of_machine=True,
    ),
    Rule(
        "tuning.quantise",
        lambda setup: setup.quantised and not setup.replicated,
        "weights in 4 bits are not divided among processes",
        "Choose the strategy single or ddp.",
    ),
    Rule(
        "tuning.quantise",
        lambda setup: setup.quantised and setup.config.compile,
        "weights in 4 bits have not been tried in compiled layers",
        "Set compile=false.",
    ),
)

SPEED_RULES = (*OF_COMPILING, *OF_OPTIMIZERS, *OF_ATTENTION, *OF_FP8, *OF_FOUR_BITS)
