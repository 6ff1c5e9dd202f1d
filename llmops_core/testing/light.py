"""Imports the light face of one plugin in a fresh process: `python -m llmops_core.testing.light JOB.json`.

Says how long that took, which foreign modules it brought in, and what it raised.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# what every command that loads plugins has imported before the first of them
import llmops_core.check
import llmops_core.compose
import llmops_core.events
import llmops_core.step  # noqa: F401
from llmops_core.files import read_json, write_json
from llmops_core.hookspecs import Implementation

OURS = {"llmops_core", "pluggy"}


def main(path: str) -> int:
    """Do a job ({"module": ...}); its report is written beside it, as NAME.report.json."""
    job = read_json(Path(path))
    before = set(sys.modules)
    report: dict[str, Any] = {"error": ""}
    began = time.process_time()
    try:
        own = _face(job["module"])
        report["ms"] = (time.process_time() - began) * 1000
        report["foreign"] = sorted(_foreign(set(sys.modules) - before, own))
    except BaseException as error:  # a plugin may raise anything, SystemExit too: it is told
        report["error"] = f"{type(error).__name__}: {error}"
    write_json(Path(path).with_suffix(".report.json"), report)
    return 0


def _face(name: str) -> set[str]:
    """Import plugin, configs and estimates; gives the names of the packages they belong to."""
    module = importlib.import_module(name)
    own = {name.partition(".")[0]}
    if packages := getattr(module, "llmops_config_packages", None):
        own |= {package.partition(".")[0] for package in packages()}
    offers = getattr(module, "llmops_implementations", None)
    for one in offers() if offers else ():
        if isinstance(one, Implementation):
            for reference in (one.config, one.estimate):
                if reference:
                    importlib.import_module(reference.partition(":")[0])
                    own.add(reference.partition(".")[0].partition(":")[0])
    return own


def _foreign(modules: Iterable[str], own: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in modules}
    return {
        name
        for name in tops
        if name not in sys.stdlib_module_names and name not in own | OURS and not name.startswith("__")
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
