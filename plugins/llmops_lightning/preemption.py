"""A training that is told to end saves itself first: at once, wherever in an optimizer step it is.

Only the update of the weights may not be torn, so only during it the end has to wait. A thread of its own
saves, as the main one may be inside a long computation, where Python hears no signal. Where processes can
only save together, that they were told is remembered, until all of them are between two steps.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preemption:
    """Inside it, once `begin` was called, SIGTERM and Ctrl-C call `save` and raise KeyboardInterrupt.

    With `together` they only set `told`.
    """

    def __init__(self, save: Callable[[], None], *, together: bool = False) -> None:
        self.save = save
        self.together = together
        self.told = False
        self._updating = threading.Lock()
        self._pending = False
        self._before: dict[int, Any] = {}
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._thread: threading.Thread | None = None
        self._wakeup = -1

    def __enter__(self) -> Preemption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
        return self

    def begin(self) -> None:
        """Listen from now on: after the trainer has set up handlers of its own."""
        ours = [number for number, before in self._before.items() if before != signal.SIG_IGN]
        if not ours or self._thread is not None:
            return
        if not self.together:
            self._start(ours)
        for number in ours:
            signal.signal(number, self._hear)

    def _start(self, ours: Sequence[int]) -> None:
        hears, tells = socket.socketpair()
        tells.setblocking(False)
        self._ends = hears, tells
        self._thread = threading.Thread(target=self._listen, args=(hears, set(ours)), daemon=True)
        self._thread.start()
        self._wakeup = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)

    @contextlib.contextmanager
    def updating(self) -> Iterator[None]:
        """Inside, weights change: nothing is saved, and the end waits."""
        with self._updating:
            yield
        if self._pending:
            raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ends is not None and self._thread is not None:
            signal.set_wakeup_fd(self._wakeup)
            self._ends[1].close()
            self._thread.join()
            self._ends[0].close()
        for number, before in self._before.items():
            signal.signal(number, before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.told = True
        if self.together:
            return
        if self._updating.locked():
            self._pending = True
        else:
            raise KeyboardInterrupt

    def _listen(self, hears: socket.socket, numbers: set[int]) -> None:
        while told := hears.recv(1):
            if told[0] in numbers:
                with self._updating:
                    self.save()
