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
        if self._reset:
            for line in STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024
