"""Where an interrupted training goes on from."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NAME = "training.ckpt"


@dataclass(frozen=True)
class Checkpoint:
    """A training after `step` optimizer steps."""

    step: int
    weights: Mapping[str, Tensor]
    """What learns, by name."""
    optimizer: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    """The curve so far."""


def write(folder: Path, checkpoint: Checkpoint, training: str) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old one or the new one, whole.

    `training` tells trainings apart: one only goes on from its own.
    """
    partial = folder / f"{NAME}.partial"
    with partial.open("wb") as file:
        torch.save({"training": training, **vars(checkpoint)}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / NAME)


def read(folder: Path, training: str) -> Checkpoint | None:
    """The folder's checkpoint, or None where there is none of this training."""
    try:
        found = torch.load(folder / NAME, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
        return None
    if found.pop("training", "") != training:
        return None
    return Checkpoint(**found)
