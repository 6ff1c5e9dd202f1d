"""What stands around a step, by itself."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from llmops_core import events
from llmops_core.errors import LlmopsError, RecipeError, StepError
from llmops_core.guards import log_file, told_as_error
from llmops_core.secrets import Secrets
from tests.conftest import Project


def test_an_interrupt_passes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), told_as_error("s", tmp_path, Secrets()):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_errors_of_ours_pass_through_whole(tmp_path: Path) -> None:
    secrets = Secrets()
    secrets.hide("topsecret", "X")
    for error in (StepError("a topsecret", where="w"), RecipeError("r", [])):
        with pytest.raises(type(error)) as caught, told_as_error("s", tmp_path, secrets):
            raise error
        assert caught.value is error
        assert "topsecret" not in str(caught.value)


def test_a_traceback_that_cannot_be_kept_does_not_hide_the_error(tmp_path: Path) -> None:
    with (
        pytest.raises(
            LlmopsError, match=r"s: ValueError: bad\. Its traceback could not be kept: No such file"
        ),
        told_as_error("s", tmp_path / "nowhere", Secrets()),
    ):
        raise ValueError("bad")


def test_log_lines_of_libraries_are_kept_with_their_tracebacks_and_without_secrets(tmp_path: Path) -> None:
    secrets = Secrets()
    secrets.hide("topsecret", "X")
    handlers = list(logging.getLogger().handlers)
    with log_file(tmp_path / "log.txt", secrets):
        logging.getLogger("library").warning("token %s", "topsecret")
        try:
            raise ValueError("about topsecret")
        except ValueError:
            logging.getLogger("library").exception("half \ud800 pair")
    assert logging.getLogger().handlers == handlers
    text = (tmp_path / "log.txt").read_text()
    assert "WARNING library: token [secret]" in text
    assert "ValueError: about [secret]" in text and "\\ud800" in text


def test_nothing_logged_is_no_file(tmp_path: Path) -> None:
    with log_file(tmp_path / "log.txt", Secrets()):
        pass
    assert not list(tmp_path.iterdir())


def test_outside_the_main_thread_a_time_limit_is_said_not_to_hold(project: Project) -> None:
    told: list[Any] = []

    class Watch:
        from llmops_core.hookspecs import hookimpl

        @hookimpl
        def llmops_event(self, run: Any, event: events.Event) -> None:
            told.append(event)

    project.extra = [("watch", Watch())]
    states: list[str] = []
    thread = threading.Thread(target=lambda: states.append(project.run("data.time_limit=5").status))
    thread.start()
    thread.join()
    assert states == ["done"]
    (warning,) = [event.text for event in told if isinstance(event, events.Log)]
    assert warning == "its time limit is not kept outside the main thread"
