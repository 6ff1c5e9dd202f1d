"""The most memory this process held during a step."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Starts measuring when made. On Linux the kernel's high-water mark is set back first; elsewhere it
    is the mark of the whole process."""

    def __init__(self) -> None:
        try:
            RESET.write_text("5")
            self._reset = True
        except OSError:
            self._reset = False

    def peak(self) -> int:
        """Bytes."""
        return high_water() if self._reset else _since_start()


def high_water() -> int:
    """The most bytes that this process has held since its mark was last set back."""
    try:
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    return _since_start()


def _since_start() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
