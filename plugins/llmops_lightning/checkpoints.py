"""Where an interrupted training goes on from."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llmops_core.errors import StepError
from llmops_lightning.spread import State, Weights

PATTERN = "step-*.ckpt"
DECISIVE = ("model", "plan", "settings")
"""What a checkpoint must share with the training that goes on from it."""


@dataclass(frozen=True)
class Checkpoint:
    """A training after `step` optimizer steps: the same whatever the strategy and the number of processes.

    Frozen weights are not in it: they are the model's.
    """

    step: int
    weights: Weights
    state: State
    rows: Sequence[Mapping[str, float]]
    """The curve so far."""


def write(folder: Path, checkpoint: Checkpoint, training: Mapping[str, str], kept: int) -> None:
    """Add a checkpoint; a kill at any moment leaves the old ones, and the new one whole or not at all.

    The newest `kept` stay. `training` tells trainings apart: its model, plan and settings, and what else
    decides the last bits.
    """
    _write(folder / f"step-{checkpoint.step:08}.ckpt", {"training": dict(training), **vars(checkpoint)})
    for old in sorted(folder.glob(PATTERN))[:-kept]:
        old.unlink()


def write_best(folder: Path, step: int, weights: Weights) -> None:
    """Keep the weights after `step` as the best so far, and no other ones."""
    place = folder / f"best-{step:08}.ckpt"
    _write(place, dict(weights))
    for other in set(folder.glob("best-*.ckpt")) - {place}:
        other.unlink()


def read_best(folder: Path, step: int) -> Weights:
    """The weights after `step`. Raises StepError where they are gone."""
    place = folder / f"best-{step:08}.ckpt"
    try:
        found: Weights = torch.load(place, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise StepError(
            f"the best weights, of step {step}, cannot be read from {place}",
            remedy=f"Remove {folder} to train again, or set keep=last.",
        ) from error
    return found


def _write(place: Path, content: Mapping[str, Any]) -> None:
    partial = place.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(place)


def read(folder: Path, training: Mapping[str, str], warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, or None: where there is none, or only of other library versions.

    What is passed over is told. Raises StepError when it is of another model or plan, or of other settings.
    """
    for place in sorted(folder.glob(PATTERN), reverse=True):
        try:
            found = torch.load(place, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
            warn(f"the checkpoint {place.name} cannot be read: the one before it is taken")
            continue
        told = found.pop("training", {})
        others = [name for name in DECISIVE if told.get(name) != training[name]]
        if others:
            raise StepError(
                f"the checkpoint {place} was made with another {' and other '.join(others)}",
                remedy="Train with what it was made with, or move that file away to start over.",
            )
        if told == dict(training):
            return Checkpoint(**found)
        changed = ", ".join(
            f"{name} {told.get(name)}" for name in training if told.get(name) != training[name]
        )
        warn(f"the checkpoint {place.name} was made with {changed}: starting over, for the same bytes")
        return None
    return None
