"""Tags move as a whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmops_core.errors import LockedError
from llmops_core.store import Store
from llmops_data.tags import move, tagged, tags

MOVING = """
import os, signal, sys
from pathlib import Path
from llmops_core.store import Store
from llmops_data.tags import move

write, replace = Path.write_text, Path.replace

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def half_written(self, text, *given, **named):
    write(self, text[: len(text) // 2], *given, **named)
    die()

def replaced(self, target):
    replace(self, target)
    die()

deaths = {
    "while it writes": ("write_text", half_written),
    "before it is seen": ("replace", lambda self, target: die()),
    "once it is seen": ("replace", replaced),
}
setattr(Path, *deaths[sys.argv[2]])
move(Store(Path(sys.argv[1])), "published", "b" * 64, ())
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.prepare()
    return made


@pytest.mark.parametrize(
    ("death", "left"), [("while it writes", "a"), ("before it is seen", "a"), ("once it is seen", "b")]
)
def test_a_process_killed_while_it_moves_a_tag_leaves_the_old_one_or_the_new(
    death: str, left: str, store: Store
) -> None:
    move(store, "published", "a" * 64, ())
    done = subprocess.run([sys.executable, "-c", MOVING, str(store.root), death], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [(one.name, one.digest) for one in tags(store)] == [("published", left * 64)]
    # and whoever comes next is not held up
    moved = move(store, "published", "c" * 64, (), expected=left * 64)
    assert [one["digest"] for one in moved.history][-1] == left * 64


def test_a_tag_that_somebody_else_moved_meanwhile_is_not_moved(store: Store) -> None:
    move(store, "published", "a" * 64, (), expected="")
    move(store, "published", "b" * 64, (), expected="a" * 64)
    for stale in ("", "a" * 64):
        with pytest.raises(LockedError, match="moved by somebody else"):
            move(store, "published", "c" * 64, (), expected=stale)
    tag = tagged(store, "published")
    assert tag is not None and tag.digest == "b" * 64
