"""Lightning's trainer, kept quiet and honest about interruptions."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Literal

import pytorch_lightning as lightning
from pytorch_lightning.plugins.environments import LightningEnvironment

from llmops_lightning.batches import StepLoader
from llmops_lightning.module import Training

LOGGERS = (
    "pytorch_lightning",
    "lightning_fabric",
    "pytorch_lightning.utilities.rank_zero",
    "lightning.fabric",
)
PRECISION: Mapping[str, Literal["32-true", "bf16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp8": "bf16-mixed",
}
"""Mixed, never bf16-true: that would round adapters, which are fp32, and what they learn."""


class Interruption(lightning.Callback):
    """Remembers a Ctrl-C, which the trainer turns into an exit."""

    def __init__(self) -> None:
        self.interrupt: KeyboardInterrupt | None = None

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Keep a KeyboardInterrupt."""
        if isinstance(exception, KeyboardInterrupt):
            self.interrupt = exception


def fit(training: Training, loader: StepLoader) -> None:
    """Take every optimizer step that `loader` gives. A Ctrl-C stays a KeyboardInterrupt."""
    interruption = Interruption()
    with _quiet():
        trainer = lightning.Trainer(
            max_epochs=1,
            min_epochs=0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            use_distributed_sampler=False,
            precision=PRECISION[training.config.precision],
            default_root_dir=str(training.run.scratch),
            callbacks=[interruption],
            # the processes are there already: variables of torchrun or Slurm are not the trainer's to read
            **{"plugins": [LightningEnvironment()], **training.spread.trainer},
        )
        with _interruptible(interruption):
            trainer.fit(training, train_dataloaders=loader)


@contextlib.contextmanager
def _interruptible(interruption: Interruption) -> Iterator[None]:
    """The trainer answers a Ctrl-C by ignoring further ones and leaving with SystemExit: undo both."""
    on_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if on_main else None
    try:
        yield
    except SystemExit:
        if interruption.interrupt is None:
            raise
        raise interruption.interrupt from None
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the trainer's announcements off the terminal; what matters of them is ours to tell."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
            # what a layer gives is read here, and never written into
            warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
