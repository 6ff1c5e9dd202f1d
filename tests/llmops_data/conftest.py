"""A step run to call the data stage with, outside of any recipe."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmops_core.events import Event, Log
from llmops_core.settings import Part
from llmops_core.step import StepRun
from llmops_data import config


def part(use: str, **values: Any) -> Part:
    """A step of the pipeline with its config, as the core would build it."""
    return Part("data/step", use, getattr(config, use.capitalize())(**values))


ENGINES = {"local": "llmops_data.parallel:local", "ray": "llmops_data.cluster:ray_cluster"}


def target(chosen: Part) -> Callable[..., Any]:
    """The function of a first-party step, or of an engine."""
    place = ENGINES[chosen.use] if chosen.group == "data/engine" else f"llmops_data.{chosen.use}:{chosen.use}"
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def loading(step: Callable[[Part], Any]) -> Callable[[Part], Any]:
    """A loader that gives these functions for steps, and the engines that there are."""
    return lambda chosen: step(chosen) if chosen.group == "data/step" else target(chosen)


class Told(list[Event]):
    """What a step told; `warnings` are its warnings' texts."""

    @property
    def warnings(self) -> list[str]:
        """The texts of the warnings, in order."""
        return [event.text for event in self if isinstance(event, Log) and event.level == "warning"]


@pytest.fixture
def told() -> Told:
    """Everything that the run told."""
    return Told()


@pytest.fixture
def run(tmp_path: Path, told: Told) -> StepRun:
    """A run that writes into an empty folder."""
    return step_run(tmp_path, told)


def step_run(folder: Path, told: Told | None = None, name: str = "out") -> StepRun:
    """A run that writes into FOLDER/NAME."""
    (folder / name).mkdir(parents=True)
    return StepRun(
        folder=folder / name,
        scratch=folder / "scratch",
        cache=folder / "cache",
        state=folder,
        loader=target,
        tell=(told if told is not None else Told()).append,
    )
