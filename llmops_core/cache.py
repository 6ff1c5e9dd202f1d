"""What steps keep for later runs, by the digest of everything that decides it: in the store's cache/AREA.

An entry is written under the store's tmp and renamed, so that an entry of the right name is whole. It may be
removed at any time (files in use stay readable): what is absent is made again. `llmops store gc` takes what
was not used for two weeks.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops_core.arrivals import FULL
from llmops_core.errors import StoreError
from llmops_core.files import read_json, write_json
from llmops_core.keys import digest
from llmops_core.store import Store

FORMAT = 1
ENTRY = "entry.json"

Make = Callable[[Path], Mapping[str, Any]]
"""Writes files into the folder it is given, and gives what else is to be kept, as plain values."""


@dataclass(frozen=True)
class Entry:
    """Files that lie in `folder`, and what else was kept with them."""

    folder: Path
    facts: Mapping[str, Any]
    reused: bool = False


@dataclass(frozen=True)
class Cache:
    """The entries of one area under a store's root (a step's `run.state`)."""

    state: Path
    area: str
    """What they are for: a folder's name."""

    def entry(self, document: Mapping[str, Any], make: Make) -> Entry:
        """What this document made before, else what `make` makes now.

        `document` holds, as plain values, everything that decides the content. Raises what `make` raises, and
        StoreError where there is no space.
        """
        final = self.state / "cache" / self.area / digest({"format": FORMAT, **document})
        kept = _whole(final)
        if kept is not None:
            with suppress(OSError):  # of a store that may only be read
                os.utime(final / ENTRY)  # when it was last of use, for who cleans up
            return Entry(final, kept, reused=True)
        temporary = Store(self.state).temporary(self.area)
        try:
            facts = make(temporary / "files")
            sizes = {path.name: path.stat().st_size for path in (temporary / "files").iterdir()}
            write_json(temporary / "files" / ENTRY, {"format": FORMAT, "sizes": sizes, "facts": facts})
            _place(temporary / "files", final)
        except OSError as error:
            if error.errno not in FULL:
                raise
            remedy = "Free some space (llmops store gc), or choose a store on another disk."
            raise StoreError("no space left", where=str(self.state), remedy=remedy) from error
        finally:
            shutil.rmtree(temporary.parent, ignore_errors=True)
        return Entry(final, facts)


def _place(made: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(final)
    except OSError:
        if _whole(final) is not None:
            return  # another process was first, with the same content
        with suppress(FileNotFoundError):  # removed by who cleaned up
            final.rename(made.parent / "damaged")
        made.rename(final)


def _whole(final: Path) -> Mapping[str, Any] | None:
    """What was kept with an entry whose files all have their size; else None."""
    try:
        kept = read_json(final / ENTRY)
        sound = all((final / name).stat().st_size == size for name, size in kept["sizes"].items())
        facts: Mapping[str, Any] = kept["facts"]
    except (OSError, StoreError, KeyError, TypeError, AttributeError):
        return None
    return facts if sound else None
